// 200 threads and main count under one mutex, some of them blocking while they hold it: no count is lost.
#include "check.h"

enum { threads = 200, rounds = 300 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all_alive;
static long counter;
static int inside;

static void* count(void* argument) {
  pthread_barrier_wait(&all_alive);
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(++inside == 1);
    ++counter;
    if (counter % 1000 == 0) nap(1);
    CHECK(--inside == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  nap(100);
  return argument;
}

int main(void) {
  CHECK(pthread_barrier_init(&all_alive, NULL, threads + 1) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count, NULL);
  count(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("counted %ld", counter);
  return 0;
}
