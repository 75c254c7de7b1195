// A crowd of threads that have used much of their stacks ends: the process does not keep their memory for
// ever. Natively all but 40 MB of stacks are unmapped as their threads are joined; others may take a moment.
#include "check.h"

#define THREADS 800
#define DEPTH (128 << 10)

static pthread_barrier_t all_are_deep;

static long resident_bytes(void) {
  long size, resident;
  FILE* file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &resident) == 2);
  fclose(file);
  return resident * 4096;
}

__attribute__((noinline)) static int use_stack(void) {
  volatile char bytes[DEPTH];
  for (size_t i = 0; i < sizeof bytes; i += 1024) bytes[i] = 1;
  return bytes[1024];
}

static void* go_deep(void* argument) {
  CHECK(use_stack() == 1);
  pthread_barrier_wait(&all_are_deep);
  return argument;
}

int main(void) {
  static pthread_t threads[THREADS];
  CHECK(pthread_barrier_init(&all_are_deep, NULL, THREADS) == 0);
  long before = resident_bytes();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(go_deep, NULL);
    for (int i = 0; i < THREADS; ++i) join_thread(threads[i]);
    while (resident_bytes() > before + (THREADS * (long)DEPTH) / 4) nap(20);
    SAY("given back");
  }
  return 0;
}
