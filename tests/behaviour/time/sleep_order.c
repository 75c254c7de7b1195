// Sleepers wake in the order of their times, whatever the order of their creation. A machine that is busy
// elsewhere may let a thread that has woken wait for its CPU, longer than the times are apart: then they are
// set further apart, up to seconds.
#include "check.h"

enum { threads = 6 };

static struct timespec deadline[threads];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char order[threads + 1];
static int woken;

static void* sleep_until(void* argument) {
  int rank = (int)(intptr_t)argument;
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &deadline[rank], NULL) == 0);
  CHECK(clock_reached(CLOCK_MONOTONIC, deadline[rank]));
  CHECK(pthread_mutex_lock(&mutex) == 0);
  order[woken++] = (char)('a' + rank);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

static int in_order(long apart) {
  pthread_t thread[threads];
  woken = 0;
  for (int i = 0; i < threads; ++i) deadline[i] = clock_after(CLOCK_MONOTONIC, (i + 1) * apart);
  for (int i = 0; i < threads; ++i)
    thread[i] = start_thread(sleep_until, number_pointer((i * 5 + 3) % threads));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  return strcmp(order, "abcdef") == 0;
}

int main(void) {
  long apart = 50;
  while (!in_order(apart)) CHECK((apart *= 3) < 5000);
  SAY("%s", order);
  return 0;
}
