// pthread_tryjoin_np(3), pthread_timedjoin_np(3), pthread_clockjoin_np: EBUSY, ETIMEDOUT not before the time,
// then the thread can still be joined.
#include "check.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void* wait_at_gate(void* argument) {
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return argument;
}

static void* try_all(void* argument) {
  (void)argument;
  void* result = NULL;
  pthread_mutex_lock(&gate);
  pthread_t thread = start_thread(wait_at_gate, number_pointer(12));
  CHECK(pthread_tryjoin_np(thread, &result) == EBUSY);
  struct timespec time = clock_after(CLOCK_REALTIME, 30);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == ETIMEDOUT);
  CHECK(clock_reached(CLOCK_REALTIME, time));
  time = clock_after(CLOCK_MONOTONIC, 30);
  CHECK(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, time));
  time = clock_after(CLOCK_REALTIME, -1000);
  CHECK(pthread_timedjoin_np(thread, &result, &time) == ETIMEDOUT);
  CHECK(result == NULL);
  pthread_mutex_unlock(&gate);
  time = clock_after(CLOCK_MONOTONIC, 60000);
  CHECK(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &time) == 0);
  CHECK(result == number_pointer(12));

  thread = start_thread(wait_at_gate, number_pointer(13));
  int outcome;
  while ((outcome = pthread_tryjoin_np(thread, &result)) == EBUSY) nap(1);
  CHECK(outcome == 0 && result == number_pointer(13));
  return NULL;
}

int main(void) {
  try_all(NULL);
  SAY("from main");
  join_thread(start_thread(try_all, NULL));
  SAY("from a thread");
  return 0;
}
