// pthread_cond_timedwait(3p), pthread_cond_clockwait: ETIMEDOUT not before the time of the right clock and
// with the mutex held, at once for a time in the past, EINVAL for bad nanoseconds; a signal in time gives 0.
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t realtime = PTHREAD_COND_INITIALIZER;
static pthread_cond_t monotonic;
static int go;

static void wait_by(pthread_cond_t* condition, clockid_t clock) {
  struct timespec time = clock_after(clock, 30);
  int result;
  while ((result = pthread_cond_timedwait(condition, &mutex, &time)) == 0) {
  }
  CHECK(result == ETIMEDOUT && clock_reached(clock, time));
  CHECK(pthread_mutex_trylock(&mutex) == EBUSY && "held again");
  time = clock_after(clock, -10000);
  CHECK(pthread_cond_timedwait(condition, &mutex, &time) == ETIMEDOUT);
  time.tv_nsec = 1000000000;
  CHECK(pthread_cond_timedwait(condition, &mutex, &time) == EINVAL);
  time.tv_nsec = -1;
  CHECK(pthread_cond_timedwait(condition, &mutex, &time) == EINVAL);
}

static void wait_by_clock(clockid_t clock) {
  struct timespec time = clock_after(clock, 30);
  int result;
  while ((result = pthread_cond_clockwait(&realtime, &mutex, clock, &time)) == 0) {
  }
  CHECK(result == ETIMEDOUT && clock_reached(clock, time));
  CHECK(pthread_cond_clockwait(&realtime, &mutex, CLOCK_PROCESS_CPUTIME_ID, &time) == EINVAL);
}

static void* time_out(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  wait_by(&realtime, CLOCK_REALTIME);
  wait_by(&monotonic, CLOCK_MONOTONIC);
  wait_by_clock(CLOCK_REALTIME);
  wait_by_clock(CLOCK_MONOTONIC);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  SAY("%s timed out", (const char*)argument);
  return NULL;
}

static void* wait_in_time(void* argument) {
  struct timespec time = clock_after(CLOCK_MONOTONIC, 60000);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  while (!go) CHECK(pthread_cond_timedwait(&monotonic, &mutex, &time) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

int main(void) {
  pthread_condattr_t attributes;
  clockid_t clock;
  CHECK(pthread_condattr_init(&attributes) == 0);
  CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
  CHECK(pthread_condattr_getclock(&attributes, &clock) == 0 && clock == CLOCK_MONOTONIC);
  CHECK(pthread_cond_init(&monotonic, &attributes) == 0);
  time_out("main");
  join_thread(start_thread(time_out, "a thread"));
  pthread_t thread = start_thread(wait_in_time, NULL);
  nap(20);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  go = 1;
  CHECK(pthread_cond_signal(&monotonic) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  join_thread(thread);
  SAY("signalled in time");
  return 0;
}
