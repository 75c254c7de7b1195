// Sleepers wake in the order of their times, whatever the order of their creation.
#include "check.h"

enum { threads = 6, apart = 150 };

static struct timespec start;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char order[threads + 1];
static int woken;

static void* sleep_until(void* argument) {
  int rank = (int)(intptr_t)argument;
  struct timespec time = start;
  time.tv_nsec += (long)(rank + 1) * apart * 1000000;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  order[woken++] = (char)('a' + rank);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  start = clock_now(CLOCK_MONOTONIC);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i)
    thread[i] = start_thread(sleep_until, number_pointer((i * 5 + 3) % threads));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%s", order);
  return 0;
}
