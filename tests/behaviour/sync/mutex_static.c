// The static initialisers of all types work in contention without any initialising call.
#include "check.h"

enum { threads = 10, rounds = 500 };

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t checking = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static pthread_mutex_t adaptive = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static pthread_mutex_t zeroed;  // what a global without initialiser holds is a normal mutex on Linux
static long counter[5];

static void count(pthread_mutex_t* mutex, long* counted) {
  CHECK(pthread_mutex_lock(mutex) == 0);
  long before = *counted;
  if (before % 100 == 0) nap(1);
  *counted = before + 1;
  CHECK(pthread_mutex_unlock(mutex) == 0);
}

static void* count_all(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    count(&normal, &counter[0]);
    count(&recursive, &counter[1]);
    count(&checking, &counter[2]);
    count(&adaptive, &counter[3]);
    count(&zeroed, &counter[4]);
  }
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count_all, NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%ld %ld %ld %ld %ld", counter[0], counter[1], counter[2], counter[3], counter[4]);
  return 0;
}
