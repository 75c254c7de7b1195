// pthread_spin_lock(3): contention, EBUSY, and a holder that blocks while the others spin.
#include "check.h"

enum { threads = 20, rounds = 100 };

static pthread_spinlock_t lock;
static long counter;
static int stop;

static void* count(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_spin_lock(&lock) == 0);
    long before = counter;
    if (round == 50 && (intptr_t)argument < 4) nap(2);  // the holder sleeps, all others spin
    counter = before + 1;
    CHECK(pthread_spin_unlock(&lock) == 0);
  }
  return NULL;
}

static void* try_while_held(void* argument) {
  CHECK(pthread_spin_trylock(&lock) == EBUSY);
  return argument;
}

static void* hold_until_told(void* argument) {
  CHECK(pthread_spin_lock(&lock) == 0);
  pthread_barrier_wait((pthread_barrier_t*)argument);
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) nap(1);
  CHECK(pthread_spin_unlock(&lock) == 0);
  return NULL;
}

int main(void) {
  pthread_barrier_t held;
  CHECK(pthread_barrier_init(&held, NULL, 2) == 0);
  CHECK(pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count, number_pointer(i));
  count(number_pointer(0));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("counted %ld", counter);
  pthread_t holder = start_thread(hold_until_told, &held);
  pthread_barrier_wait(&held);
  try_while_held(NULL);
  join_thread(start_thread(try_while_held, NULL));
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  CHECK(pthread_spin_lock(&lock) == 0);  // main spins while the holder finishes
  CHECK(pthread_spin_unlock(&lock) == 0);
  join_thread(holder);
  CHECK(pthread_spin_destroy(&lock) == 0);
  SAY("held by a sleeper");
  return 0;
}
