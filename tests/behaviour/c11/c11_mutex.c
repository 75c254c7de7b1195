// C11 7.26.4: plain, timed and recursive mutexes, thrd_busy, thrd_timedout, and a count by many threads.
#include "check.h"

#include <threads.h>

enum { thread_count = 30, rounds = 200 };

static mtx_t mutex;
static long counter;

static int find_busy(void* argument) {
  (void)argument;
  CHECK(mtx_trylock(&mutex) == thrd_busy);
  return 0;
}

static int time_out(void* argument) {
  (void)argument;
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  CHECK(mtx_timedlock(&mutex, &time) == thrd_timedout && clock_reached(CLOCK_REALTIME, time));
  return 0;
}

static int count(void* argument) {
  (void)argument;
  for (int round = 0; round < rounds; ++round) {
    CHECK(mtx_lock(&mutex) == thrd_success);
    long before = counter;
    if (round % 100 == 0) nap(1);
    counter = before + 1;
    CHECK(mtx_unlock(&mutex) == thrd_success);
  }
  return 0;
}

static void in_thread(thrd_start_t routine) {
  thrd_t thread;
  int result = 1;
  CHECK(thrd_create(&thread, routine, NULL) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 0);
}

static void count_with(int type) {
  thrd_t thread[thread_count];
  CHECK(mtx_init(&mutex, type) == thrd_success);
  counter = 0;
  for (int i = 0; i < thread_count; ++i) CHECK(thrd_create(&thread[i], count, NULL) == thrd_success);
  for (int i = 0; i < thread_count; ++i) CHECK(thrd_join(thread[i], NULL) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  in_thread(find_busy);
  if (type & mtx_timed) in_thread(time_out);
  if (type & mtx_recursive) {
    CHECK(mtx_lock(&mutex) == thrd_success && mtx_trylock(&mutex) == thrd_success);
    CHECK(mtx_unlock(&mutex) == thrd_success && mtx_unlock(&mutex) == thrd_success);
    in_thread(find_busy);
  }
  CHECK(mtx_unlock(&mutex) == thrd_success);
  mtx_destroy(&mutex);
  SAY("type %d: %ld", type, counter);
}

int main(void) {
  count_with(mtx_plain);
  count_with(mtx_timed);
  count_with(mtx_plain | mtx_recursive);
  count_with(mtx_timed | mtx_recursive);
  return 0;
}
