// 500 threads alive at once, joined in an order that is neither that of creation nor that of their ends.
#include "check.h"

enum { threads = 500 };

static pthread_barrier_t all_alive;

static void* square(void* argument) {
  intptr_t own = (intptr_t)argument;
  pthread_barrier_wait(&all_alive);
  nap(100 + own % 7);
  return number_pointer(own * own);
}

int main(void) {
  CHECK(pthread_barrier_init(&all_alive, NULL, threads) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(square, number_pointer(i));
  long long sum = 0;
  for (int i = 0; i < threads; ++i) {
    int which = (i * 263 + 17) % threads;  // 263 and 500 have no common divisor
    intptr_t result = (intptr_t)join_thread(thread[which]);
    CHECK(result == (intptr_t)which * which);
    sum += result;
  }
  SAY("sum of squares %lld", sum);
  return 0;
}
