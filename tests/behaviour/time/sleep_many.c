// 1,000 threads sleep at the same time: all together take a fraction of the sum.
#include "check.h"

enum { threads = 1000, each = 200 };

static void* sleep_once(void* argument) {
  struct timespec end = clock_after(CLOCK_MONOTONIC, each);
  nap(each);
  CHECK(clock_reached(CLOCK_MONOTONIC, end));
  return argument;
}

int main(void) {
  struct timespec half_of_sum = clock_after(CLOCK_MONOTONIC, (long)threads * each / 2);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(sleep_once, number_pointer(i));
  for (int i = 0; i < threads; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  CHECK(!clock_reached(CLOCK_MONOTONIC, half_of_sum));
  SAY("slept at the same time");
  return 0;
}
