// sched_yield(2) in a loop lets the others run: threads that poll a flag with it, and what they wait for.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>

enum { polling = 10 };

static int stop;
static int ends[2];

// The usual ways of busy waiting: yielding, polling with time 0, sleeping for 0, trying a non-blocking read.
static void* busy_wait(void* argument) {
  struct pollfd wait = {ends[0], POLLIN, 0};
  char byte;
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    switch ((intptr_t)argument % 4) {
      case 0:
        CHECK(sched_yield() == 0);
        break;
      case 1:
        CHECK(poll(&wait, 1, 0) == 0);
        break;
      case 2:
        CHECK(usleep(0) == 0);
        break;
      default:
        CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
        break;
    }
  }
  return NULL;
}

static void* finish_after_a_while(void* argument) {
  for (int i = 0; i < 10; ++i) nap(2);
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  return argument;
}

int main(void) {
  CHECK(pipe2(ends, O_NONBLOCK) == 0);
  pthread_t thread[polling];
  for (int i = 0; i < polling; ++i) thread[i] = start_thread(busy_wait, number_pointer(i));
  pthread_t finishing = start_thread(finish_after_a_while, NULL);
  for (int i = 0; i < polling; ++i) join_thread(thread[i]);
  join_thread(finishing);
  SAY("%d saw the flag", polling);
  return 0;
}
