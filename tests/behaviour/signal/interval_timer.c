// setitimer(2), alarm(2): SIGALRM again and again while threads lock, sleep and send: nothing is lost but
// sleep's time.
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { pairs = 10, rounds = 300 };

static atomic_int alarms;  // any thread may run the handler
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void count_alarm(int number) {
  CHECK(number == SIGALRM);
  atomic_fetch_add(&alarms, 1);
}

static void* bounce(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  for (int round = 0; round < rounds; ++round) {
    char byte = 'x';
    CHECK(send(descriptor, &byte, 1, 0) == 1);
    CHECK(recv(descriptor, &byte, 1, 0) == 1);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    ++counter;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    if (round % 50 == 0) nap(1);
  }
  return NULL;
}

int main(void) {
  struct sigaction action;
  struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  pthread_t thread[2 * pairs];
  memset(&action, 0, sizeof action);
  action.sa_handler = count_alarm;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
  for (int i = 0; i < pairs; ++i) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    for (int side = 0; side < 2; ++side)
      thread[2 * i + side] = start_thread(bounce, number_pointer(ends[side]));
  }
  for (int i = 0; i < 2 * pairs; ++i) join_thread(thread[i]);
  while (atomic_load(&alarms) < 10) nap(1);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  SAY("counted %ld", counter);
  return 0;
}
