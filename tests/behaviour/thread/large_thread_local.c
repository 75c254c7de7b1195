// A program with 200 KiB of thread-local variables: its threads have them, each its own, and nothing else
// needs room for them in a stack that was made for less.
#include "check.h"

enum { threads = 120, size = 200 * 1024 };

static __thread unsigned char mine[size];
static pthread_barrier_t all_filled;

static void* fill(void* argument) {
  unsigned char number = (unsigned char)(intptr_t)argument;
  for (int i = 0; i < size; i += 512) CHECK(mine[i] == 0);
  memset(mine, number, size);
  int last = pthread_barrier_wait(&all_filled);
  CHECK(last == 0 || last == PTHREAD_BARRIER_SERIAL_THREAD);
  nap(20);
  for (int i = 0; i < size; ++i) CHECK(mine[i] == number);
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  CHECK(pthread_barrier_init(&all_filled, NULL, threads) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(fill, number_pointer(i + 1));
  for (int i = 0; i < threads; ++i) CHECK(join_thread(thread[i]) == number_pointer(i + 1));
  SAY("%d threads", threads);
  return 0;
}
