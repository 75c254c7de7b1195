// pthread_cond_wait(3p): a cancelled waiter holds the mutex again when its cleanup handlers run, and has not
// consumed a signal; others go on waiting.
#include "check.h"

enum { threads = 20 };

static pthread_mutex_t mutex;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int waiting, cleaned, woken, go;

static void unlock(void* argument) {
  CHECK(argument == &mutex);
  ++cleaned;
  CHECK(pthread_mutex_unlock(&mutex) == 0 && "error checking: EPERM if it were not held");
}

static void* wait_here(void* argument) {
  struct timespec late = clock_after(CLOCK_REALTIME, 1000000);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  pthread_cleanup_push(unlock, &mutex);
  ++waiting;
  while (!go) {
    if ((intptr_t)argument % 2 == 0) {
      CHECK(pthread_cond_wait(&condition, &mutex) == 0);
    } else {
      CHECK(pthread_cond_timedwait(&condition, &mutex, &late) == 0);
    }
  }
  ++woken;
  pthread_cleanup_pop(0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  pthread_mutexattr_t attributes;
  pthread_t thread[threads];
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_here, number_pointer(i));
  for (int seen = 0; seen < threads;) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    seen = waiting;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    nap(1);
  }
  for (int i = 0; i < threads / 2; ++i) {
    CHECK(pthread_cancel(thread[i]) == 0);
    CHECK(join_thread(thread[i]) == PTHREAD_CANCELED);
  }
  SAY("%d cleaned up", cleaned);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  go = 1;
  for (int i = threads / 2; i < threads; ++i) CHECK(pthread_cond_signal(&condition) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  for (int i = threads / 2; i < threads; ++i) CHECK(join_thread(thread[i]) == NULL);
  SAY("%d woken", woken);
  return 0;
}
