// Two threads that compute, each in a function of its own with a value on the stack that only it has. On one
// shared stack they take turns.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static volatile long sums[2];

__attribute__((noinline)) static void compute_first(long mark) {
  volatile long own = mark;
  for (;;) sums[0] += own;
}
__attribute__((noinline)) static void compute_second(long mark) {
  volatile long own = mark;
  for (;;) sums[1] += own;
}
static void* first(void* unused) {
  compute_first(111);
  return unused;
}
static void* second(void* unused) {
  compute_second(222);
  return unused;
}

int main(void) {
  pthread_t threads[2];
  pthread_create(&threads[0], NULL, first, NULL);
  pthread_create(&threads[1], NULL, second, NULL);
  puts("started");
  fflush(stdout);
  for (;;) sleep(1000);
}
