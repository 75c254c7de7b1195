// Threads that compute without end do not stop the others, nor main: more of them than there are processors.
#include "check.h"

enum { loops = 8, rounds = 50 };

static volatile int stop;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void* compute(void* argument) {
  volatile unsigned long turns = 0;
  while (!stop) ++turns;
  return argument;
}

static void* alternate(void* argument) {
  int own = (int)(intptr_t)argument;
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    while (turn % 2 != own) CHECK(pthread_cond_wait(&changed, &mutex) == 0);
    ++turn;
    CHECK(pthread_cond_broadcast(&changed) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  nap(5);
  return NULL;
}

int main(void) {
  pthread_t loop[loops];
  for (int i = 0; i < loops; ++i) loop[i] = start_thread(compute, NULL);
  pthread_t first = start_thread(alternate, number_pointer(0)),
            second = start_thread(alternate, number_pointer(1));
  join_thread(first);
  join_thread(second);
  SAY("%d turns beside %d loops", turn, loops);
  stop = 1;
  for (int i = 0; i < loops; ++i) join_thread(loop[i]);
  return 0;
}
