// A thread that spins on an atomic variable until another thread, which blocks several times on its way, has
// set it.
#include "check.h"

enum { spinners = 6 };

static int flag[spinners + 1];
static int ends[2];

static void* spin_then_set(void* argument) {
  int own = (int)(intptr_t)argument;
  while (!__atomic_load_n(&flag[own], __ATOMIC_ACQUIRE)) {
  }
  char byte;
  CHECK(read(ends[0], &byte, 1) == 1);
  nap(1);
  __atomic_store_n(&flag[own + 1], 1, __ATOMIC_RELEASE);
  return NULL;
}

static void* feed(void* argument) {
  for (int i = 0; i < spinners; ++i) {
    nap(2);
    CHECK(write(ends[1], "x", 1) == 1);
  }
  return argument;
}

int main(void) {
  pthread_t thread[spinners];
  CHECK(pipe(ends) == 0);
  for (int i = spinners - 1; i >= 0; --i) thread[i] = start_thread(spin_then_set, number_pointer(i));
  pthread_t feeder = start_thread(feed, NULL);
  nap(20);
  __atomic_store_n(&flag[0], 1, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&flag[spinners], __ATOMIC_ACQUIRE)) {
  }
  for (int i = 0; i < spinners; ++i) join_thread(thread[i]);
  join_thread(feeder);
  SAY("%d spun and were released", spinners);
  return 0;
}
