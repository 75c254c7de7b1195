// Waiters with and without a time, signals and broadcasts at the same time: each event is consumed exactly
// once, those whose time is up go on waiting until their event comes.
#include "check.h"

enum { threads = 60, events = 6000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int available, consumed;

static void wait_once(int timed) {
  if (!timed) {
    CHECK(pthread_cond_wait(&condition, &mutex) == 0);
    return;
  }
  struct timespec time = clock_after(CLOCK_REALTIME, 1);
  int result = pthread_cond_timedwait(&condition, &mutex, &time);
  CHECK(result == 0 || result == ETIMEDOUT);
}

static void* consume(void* argument) {
  int timed = (intptr_t)argument % 2 == 0;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  while (consumed < events) {
    if (available > 0) {
      --available;
      if (++consumed == events) CHECK(pthread_cond_broadcast(&condition) == 0);
    } else {
      wait_once(timed);
    }
  }
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(consume, number_pointer(i));
  for (int made = 0; made < events; ++made) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    ++available;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK((made % 50 == 0 ? pthread_cond_broadcast(&condition) : pthread_cond_signal(&condition)) == 0);
    if (made % 500 == 0) nap(2);
  }
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d consumed, %d left", consumed, available);
  return 0;
}
