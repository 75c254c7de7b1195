// C11 6.7.1, __thread: each thread starts with the initialiser's value, in its own copy, also when thread
// after thread is created (a recycled block must not show through).
#include "check.h"

enum { threads = 40, waves = 5 };

static __thread int initialised = 77;
static __thread char zeroed[300];
static _Thread_local int* own_address;
static pthread_barrier_t all_alive;
static int* addresses[threads];

static void* use_variables(void* argument) {
  int own = (int)(intptr_t)argument;
  CHECK(initialised == 77);
  for (size_t i = 0; i < sizeof zeroed; ++i) CHECK(zeroed[i] == 0);
  CHECK(own_address == NULL);
  own_address = &initialised;
  initialised = own;
  memset(zeroed, own, sizeof zeroed);
  addresses[own] = &initialised;
  pthread_barrier_wait(&all_alive);
  nap(1);
  CHECK(initialised == own && zeroed[299] == (char)own && own_address == &initialised);
  pthread_barrier_wait(&all_alive);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&all_alive, NULL, threads) == 0);
  for (int wave = 0; wave < waves; ++wave) {
    pthread_t thread[threads];
    for (int i = 0; i < threads; ++i) thread[i] = start_thread(use_variables, number_pointer(i));
    for (int i = 0; i < threads; ++i) join_thread(thread[i]);
    for (int i = 0; i < threads; ++i) {
      CHECK(addresses[i] != &initialised);
      for (int other = 0; other < i; ++other) CHECK(addresses[i] != addresses[other]);
    }
  }
  CHECK(initialised == 77);
  SAY("%d waves, each thread with its own fresh variables", waves);
  return 0;
}
