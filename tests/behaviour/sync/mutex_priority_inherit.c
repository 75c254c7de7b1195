// pthread_mutexattr_setprotocol(3p): a PTHREAD_PRIO_INHERIT mutex under contention, with owners that block.
#include "check.h"

enum { threads = 20, rounds = 50 };

static pthread_mutex_t mutex;
static long counter;

static void* count(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    long before = counter;
    if (round % 10 == 0) nap(1);
    counter = before + 1;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return argument;
}

int main(void) {
  pthread_mutexattr_t attributes;
  int protocol;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
  CHECK(pthread_mutexattr_getprotocol(&attributes, &protocol) == 0 && protocol == PTHREAD_PRIO_INHERIT);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count, NULL);
  count(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
  SAY("counted %ld", counter);
  return 0;
}
