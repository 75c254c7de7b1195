// pthread_mutex_timedlock(3p), pthread_mutex_clocklock: ETIMEDOUT not before the time, EINVAL for bad
// nanoseconds and clocks only when it would block, success on a free mutex however old the time is.
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void* times_out(void* argument) {
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == ETIMEDOUT && clock_reached(CLOCK_REALTIME, time));
  time = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, time));
  time = clock_after(CLOCK_REALTIME, -5000);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == ETIMEDOUT);
  time.tv_nsec = 1000000000;
  CHECK(pthread_mutex_timedlock(&mutex, &time) == EINVAL);
  time.tv_nsec = -1;
  CHECK(pthread_mutex_timedlock(&mutex, &time) == EINVAL);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &time) == EINVAL);
  time = clock_after(CLOCK_REALTIME, 10);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &time) == EINVAL);
  return argument;
}

static void* obtains(void* argument) {
  struct timespec time = clock_after(CLOCK_REALTIME, 60000);
  CHECK(pthread_mutex_timedlock(&mutex, &time) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  time = clock_after(CLOCK_MONOTONIC, 60000);
  CHECK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &time) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  struct timespec past = {1, 0};
  CHECK(pthread_mutex_timedlock(&mutex, &past) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

static void* hold_for_main(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  pthread_barrier_wait((pthread_barrier_t*)argument);
  pthread_barrier_wait((pthread_barrier_t*)argument);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  join_thread(start_thread(times_out, NULL));
  pthread_t waiter = start_thread(obtains, NULL);
  nap(20);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  join_thread(waiter);
  SAY("a thread waits for main");
  pthread_barrier_t held;
  CHECK(pthread_barrier_init(&held, NULL, 2) == 0);
  pthread_t holder = start_thread(hold_for_main, &held);
  pthread_barrier_wait(&held);
  times_out(NULL);
  pthread_barrier_wait(&held);
  obtains(NULL);
  join_thread(holder);
  SAY("main waits for a thread");
  return 0;
}
