// pthread_mutex_lock(3p): what relocking and unlocking by a non-owner give, for each type.
#include "check.h"

static pthread_mutex_t mutex;

static void create(int type) {
  pthread_mutexattr_t attributes;
  int found;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, type) == 0);
  CHECK(pthread_mutexattr_gettype(&attributes, &found) == 0 && found == type);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  CHECK(pthread_mutexattr_destroy(&attributes) == 0);
}

static void* lock_from_other(void* argument) {
  (void)argument;
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  return NULL;
}

static void* unlock_from_other(void* argument) {
  (void)argument;
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  return NULL;
}

static void normal_or_adaptive(int type) {
  create(type);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  join_thread(start_thread(lock_from_other, NULL));
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_trylock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void recursive(void) {
  create(PTHREAD_MUTEX_RECURSIVE);
  for (int depth = 0; depth < 10; ++depth) {
    CHECK(depth % 2 ? pthread_mutex_trylock(&mutex) == 0 : pthread_mutex_lock(&mutex) == 0);
  }
  nap(1);
  join_thread(start_thread(unlock_from_other, NULL));
  for (int depth = 0; depth < 10; ++depth) {
    join_thread(start_thread(lock_from_other, NULL));
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void error_checking(void) {
  create(PTHREAD_MUTEX_ERRORCHECK);
  CHECK(pthread_mutex_unlock(&mutex) == EPERM);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
  struct timespec time = clock_after(CLOCK_REALTIME, 10000);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == EDEADLK);
  join_thread(start_thread(lock_from_other, NULL));
  join_thread(start_thread(unlock_from_other, NULL));
  CHECK(pthread_mutex_destroy(&mutex) == EBUSY);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static void* all_types(void* argument) {
  normal_or_adaptive(PTHREAD_MUTEX_NORMAL);
  normal_or_adaptive(PTHREAD_MUTEX_ADAPTIVE_NP);
  recursive();
  error_checking();
  SAY("%s: all types", (const char*)argument);
  return NULL;
}

int main(void) {
  all_types("main");
  join_thread(start_thread(all_types, "a thread"));
  return 0;
}
