// pthread_cancel(3), pthreads(7): a thread blocked in a cancellation point ends there, with its cleanup
// handlers run and PTHREAD_CANCELED as result: sleep, recv, read, accept, poll, sem_wait, join, waits on
// conditions.
#include "loopback.h"

#include <poll.h>
#include <semaphore.h>
#include <sys/select.h>

enum { calls = 12 };

static const char* const call_name[calls] = {"nanosleep", "recv",     "read",  "accept",
                                             "poll",      "sem_wait", "join",  "sem_timedwait",
                                             "select",    "write",    "sleep", "recvmsg"};
static int ends[2], sockets[2], listener, full[2];
static sem_t semaphore;
static pthread_t never_ends;
static int cleaned;

static void clean_up(void* argument) {
  CHECK(argument == &cleaned);
  nap(1);  // a handler may block: cancellation does not strike again
  ++cleaned;
}

static void block_in(int which) {
  static char large[1 << 20];
  char byte;
  struct timespec late = clock_after(CLOCK_REALTIME, 1000000);
  struct pollfd wait = {ends[0], POLLIN, 0};
  struct msghdr message;
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  memset(&message, 0, sizeof message);
  switch (which) {
    case 0:
      nap(1000000);
      break;
    case 1:
      recv(sockets[0], &byte, 1, 0);
      break;
    case 2:
      CHECK(read(ends[0], &byte, 1) != 1);
      break;
    case 3:
      accept(listener, NULL, NULL);
      break;
    case 4:
      poll(&wait, 1, -1);
      break;
    case 5:
      sem_wait(&semaphore);
      break;
    case 6:
      pthread_join(never_ends, NULL);
      break;
    case 7:
      sem_timedwait(&semaphore, &late);
      break;
    case 8:
      select(ends[0] + 1, &set, NULL, NULL, NULL);
      break;
    case 9:
      while (write(full[1], large, sizeof large) > 0) {
      }
      break;
    case 10:
      sleep(1000);
      break;
    default:
      recvmsg(sockets[0], &message, 0);
      break;
  }
}

static void* run(void* argument) {
  pthread_cleanup_push(clean_up, &cleaned);
  block_in((int)(intptr_t)argument);
  CHECK(0 && "not cancelled");
  pthread_cleanup_pop(0);
  return NULL;
}

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

int main(void) {
  CHECK(pipe(ends) == 0 && pipe(full) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  CHECK(sem_init(&semaphore, 0, 0) == 0);
  listener = listen_loopback(1);
  never_ends = start_thread(sleep_long, NULL);
  for (int round = 0; round < 2; ++round) {
    for (int which = 0; which < calls; ++which) {
      cleaned = 0;
      pthread_t thread = start_thread(run, number_pointer(which));
      if (round == 0) nap(15);  // blocked by now; in the other round perhaps not even started
      CHECK(pthread_cancel(thread) == 0);
      CHECK(join_thread(thread) == PTHREAD_CANCELED && cleaned <= 1);
      if (round == 0) SAY("%s: %d cleaned up", call_name[which], cleaned);
    }
  }
  CHECK(pthread_cancel(never_ends) == 0 && join_thread(never_ends) == PTHREAD_CANCELED);
  SAY("cancelled");
  return 0;
}
