// Posts and arrivals at the same moment, as many of one as of the other: nobody is left behind with a token there.
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { kTakers = 4, kRounds = 5000 };

static sem_t tokens;
static atomic_int round_now, taken;

static void* take(void* unused) {
  for (int round = 1; round <= kRounds; ++round) {
    while (atomic_load(&round_now) < round) sched_yield();
    CHECK(sem_wait(&tokens) == 0);
    atomic_fetch_add(&taken, 1);
  }
  return unused;
}

static void* post(void* unused) {
  for (int round = 1; round <= kRounds; ++round) {
    while (atomic_load(&round_now) < round) sched_yield();
    for (int i = 0; i < kTakers / 2; ++i) CHECK(sem_post(&tokens) == 0);
  }
  return unused;
}

int main(void) {
  pthread_t threads[kTakers], poster;
  CHECK(sem_init(&tokens, 0, 0) == 0);
  for (int i = 0; i < kTakers; ++i) threads[i] = start_thread(take, NULL);
  poster = start_thread(post, NULL);
  for (int round = 1; round <= kRounds; ++round) {
    atomic_store(&round_now, round);
    for (int i = 0; i < kTakers - kTakers / 2; ++i) CHECK(sem_post(&tokens) == 0);
    struct timespec patience = clock_after(CLOCK_MONOTONIC, 20000);
    while (atomic_load(&taken) < round * kTakers) {
      CHECK(!clock_reached(CLOCK_MONOTONIC, patience));
      sched_yield();
    }
  }
  for (int i = 0; i < kTakers; ++i) join_thread(threads[i]);
  join_thread(poster);
  SAY("%d tokens", atomic_load(&taken));
  return 0;
}
