// pthread_kill(3): the handler runs on the thread that was meant, also when it sleeps, reads or computes; a
// sleep is interrupted with the time left, a read with SA_RESTART is not.
#include "check.h"

#include <signal.h>

enum { threads = 12 };

static __thread int own_count;
static __thread pthread_t own_self;
static volatile int stop;
static int ends[2];
static int started;

static void handle(int number) {
  CHECK(number == SIGUSR1);
  CHECK(pthread_equal(own_self, pthread_self()));
  ++own_count;
}

static void begin(void) {
  own_self = pthread_self();
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
}

static void* wait_for_signal(void* argument) {
  begin();
  struct timespec time = {1000, 0}, left = {0, 0};
  char byte;
  switch ((intptr_t)argument % 3) {
    case 0:
      while (own_count == 0) CHECK_ERRNO(nanosleep(&time, &left), EINTR);
      CHECK(left.tv_sec > 900 && left.tv_sec < 1000);
      break;
    case 1:
      CHECK(read(ends[0], &byte, 1) == 1 && own_count >= 1);
      break;
    default:
      while (!stop) {
      }
      break;
  }
  CHECK(own_count >= 1);
  return NULL;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && pipe(ends) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_for_signal, number_pointer(i));
  while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < threads) nap(1);
  nap(30);
  for (int i = 0; i < threads; ++i) {
    CHECK(pthread_kill(thread[i], 0) == 0 && pthread_kill(thread[i], 1000) == EINVAL);
    CHECK(pthread_kill(thread[i], SIGUSR1) == 0);
  }
  nap(50);
  stop = 1;
  for (int i = 0; i < threads / 3; ++i) CHECK(write(ends[1], "x", 1) == 1);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(own_count == 0);
  SAY("each got its own");
  return 0;
}
