// pthread_mutexattr_setrobust(3): the owner ended with the mutex locked: EOWNERDEAD, then usable after
// pthread_mutex_consistent, ENOTRECOVERABLE without it.
#include "check.h"

static pthread_mutex_t mutex;

static void* lock_and_end(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  nap(20);
  return argument;
}

static void* lock_and_exit(void* argument) {
  (void)argument;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  pthread_exit(NULL);
}

static void* inherit(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
  CHECK(pthread_mutex_consistent(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_consistent(&mutex) == EINVAL);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

static void create(void) {
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
}

int main(void) {
  create();
  join_thread(start_thread(lock_and_end, NULL));
  inherit(NULL);
  SAY("main inherits");
  join_thread(start_thread(lock_and_exit, NULL));
  join_thread(start_thread(inherit, NULL));
  SAY("a thread inherits");
  pthread_t dying = start_thread(lock_and_end, NULL);
  nap(5);
  int result = pthread_mutex_lock(&mutex);  // waiting while the owner ends, or before it has locked
  if (result == 0) {
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    join_thread(dying);
    result = pthread_mutex_lock(&mutex);
  } else {
    join_thread(dying);
  }
  CHECK(result == EOWNERDEAD);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&mutex) == ENOTRECOVERABLE);
  CHECK(pthread_mutex_trylock(&mutex) == ENOTRECOVERABLE);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
  SAY("not recoverable");
  return 0;
}
