// A thread that has locked a mutex twice waits for ever, also when the memory has become another mutex which is
// locked and unlocked (undefined by POSIX; conformance suites do it with a deadlocked thread and a local).
#include "check.h"

static pthread_mutex_t mutex;
static volatile int locked, went_on;

static void* locks_twice(void* unused) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  locked = 1;
  pthread_mutex_lock(&mutex);
  went_on = 1;
  return unused;
}

static void use(int type) {
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  for (int i = 0; i < 100; ++i) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    if (i % 10 == 0) nap(1);
  }
  CHECK(pthread_mutex_destroy(&mutex) == 0);
}

int main(void) {
  CHECK(pthread_mutex_init(&mutex, NULL) == 0);
  pthread_t thread = start_thread(locks_twice, NULL);
  CHECK(pthread_detach(thread) == 0);
  while (!locked) nap(1);
  nap(50);
  use(PTHREAD_MUTEX_ERRORCHECK);
  use(PTHREAD_MUTEX_NORMAL);
  use(PTHREAD_MUTEX_RECURSIVE);
  CHECK(!went_on);
  SAY("still waits");
  return 0;
}
