// Every primitive at once, with random delays, signals and cancellation: an ordinary thread program that
// checks its invariants and ends by itself. Usage: mix SECONDS [SEED [THREADS]]
//
// Workers loop over steps, each of which uses one primitive and checks what it promises. Victims do the same
// until they are cancelled; their cleanup handlers keep the invariants. A disturber sends signals and
// cancellations. main, a kernel thread in any case, is one of the workers.
#include "steps.h"

#include <stdbool.h>

enum { kGroup = 4, kRing = 5, kVictims = 16, kWorkers = 24 };

static atomic_bool stop;
static atomic_ulong cancelled_count;

// ---- the steps

static void (*const steps[])(void) = {use_mutex, use_mutex,     use_rwlock, use_semaphore, use_queue,
                                      use_futex, use_spin_lock, use_key,    use_thread,    delay};
enum { kSteps = sizeof steps / sizeof *steps };
static atomic_ulong taken[kSteps];

static void begin(void* seed) {
  random_state = (uintptr_t)seed * 0x9E3779B97F4A7C15ULL;
  own_self = pthread_self();
  handler_check = 1;
}

static void* take_steps(void* seed) {
  begin(seed);
  while (!atomic_load(&stop)) {
    unsigned step = below(kSteps);
    steps[step]();
    atomic_fetch_add(&taken[step], 1);
    CHECK(pthread_equal(own_self, pthread_self()));
    pthread_testcancel();
  }
  return seed;
}

// ---- threads that meet in every round, and a token that goes round in pipes

static pthread_barrier_t barrier;
static long rounds[kGroup];
static bool last_round;

static void* meet(void* argument) {
  intptr_t index = (intptr_t)argument;
  begin(number_pointer(1000 + index));
  for (bool last = false; !last;) {
    if (index == 0) last_round = atomic_load(&stop);
    ++rounds[index];
    delay();
    int result = pthread_barrier_wait(&barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    for (int i = 0; i < kGroup; ++i) CHECK(rounds[i] == rounds[index]);
    last = last_round;
    result = pthread_barrier_wait(&barrier);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
  }
  return NULL;
}

static int ring[kRing][2];

static void* pass_on(void* argument) {
  intptr_t index = (intptr_t)argument;
  begin(number_pointer(2000 + index));
  for (long expected = index, token = 0; token >= 0; expected += kRing) {
    ssize_t count;
    while ((count = read(ring[index][0], &token, sizeof token)) == -1) CHECK(errno == EINTR);
    CHECK(count == sizeof token && (token < 0 || token == expected));
    long next = token < 0 || (index == 0 && atomic_load(&stop)) ? -1 : token + 1;
    if (token < 0 && index == 0) break;  // it has been round
    while ((count = write(ring[(index + 1) % kRing][1], &next, sizeof next)) == -1) CHECK(errno == EINTR);
    if (index == 0 && next < 0) token = 0;  // and wait for it
    delay();
  }
  return NULL;
}

// ---- disturbance

static pthread_t workers[kWorkers], group[kGroup], passers[kRing], victims[kVictims];

static pthread_t anybody(void) {
  switch (below(4)) {
    case 0:
      return workers[below(kWorkers)];
    case 1:
      return group[below(kGroup)];
    case 2:
      return passers[below(kRing)];
    default:
      return victims[below(kVictims)];
  }
}

static void* disturb(void* seed) {
  begin(seed);
  for (unsigned long lives = 0; !atomic_load(&stop); ++lives) {
    for (unsigned i = below(20); i > 0; --i) {
      CHECK(pthread_kill(anybody(), below(2) == 0 ? SIGUSR1 : SIGUSR2) == 0);
      delay();
    }
    pthread_t* victim = &victims[below(kVictims)];
    CHECK(pthread_cancel(*victim) == 0);
    delay();
    CHECK(join_thread(*victim) == PTHREAD_CANCELED || atomic_load(&stop));
    atomic_fetch_add(&cancelled_count, 1);
    *victim = start_thread(take_steps, number_pointer((intptr_t)(lives * 64 + 1)));
  }
  return NULL;
}

static void prepare(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
  static const int types[kPairs] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                                    PTHREAD_MUTEX_NORMAL};
  for (int i = 0; i < kPairs; ++i) {
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0 && pthread_mutexattr_settype(&attributes, types[i]) == 0);
    CHECK(i != kPairs - 1 || pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&pairs[i].mutex, &attributes) == 0);
    CHECK(pthread_mutexattr_destroy(&attributes) == 0);
  }
  CHECK(sem_init(&tokens, 0, kTokens) == 0 && pthread_spin_init(&spin, 0) == 0);
  CHECK(pthread_key_create(&key, destroy_value) == 0 && pthread_barrier_init(&barrier, NULL, kGroup) == 0);
  for (int i = 0; i < kRing; ++i) CHECK(pipe(ring[i]) == 0);
  long first = 0;
  CHECK(write(ring[0][1], &first, sizeof first) == sizeof first);
}

static void check_sums(void) {
  for (int i = 0; i < kPairs; ++i) CHECK(pairs[i].first == pairs[i].second);
  CHECK(written_first == written_second && atomic_load(&inside_tokens) == 0);
  int free_tokens;
  CHECK(sem_getvalue(&tokens, &free_tokens) == 0 && free_tokens == kTokens);
  long left = 0;
  for (int i = 0; i < queue_length; ++i) left += queue[i];
  CHECK(atomic_load(&put_total) == atomic_load(&taken_total) + left);
  CHECK(spun == atomic_load(&spins));
  for (int i = 0; i < kSteps; ++i) CHECK(atomic_load(&taken[i]) > 0);
  CHECK(atomic_load(&signals_handled) > 0 && atomic_load(&cancelled_count) > 0);
}

int main(int count, char** arguments) {
  int seconds = count > 1 ? atoi(arguments[1]) : 5;
  intptr_t seed = count > 2 ? atol(arguments[2]) : (intptr_t)clock_now(CLOCK_REALTIME).tv_nsec;
  prepare();
  for (int i = 0; i < kVictims; ++i) victims[i] = start_thread(take_steps, number_pointer(seed + 100 + i));
  for (int i = 0; i < kGroup; ++i) group[i] = start_thread(meet, number_pointer(i));
  for (int i = 0; i < kRing; ++i) passers[i] = start_thread(pass_on, number_pointer(i));
  for (int i = 0; i < kWorkers; ++i) workers[i] = start_thread(take_steps, number_pointer(seed + i));
  pthread_t disturber = start_thread(disturb, number_pointer(seed + 500));
  begin(number_pointer(seed + 600));
  struct timespec end = clock_after(CLOCK_MONOTONIC, seconds * 1000L);
  while (!clock_reached(CLOCK_MONOTONIC, end)) {
    unsigned step = below(kSteps);
    steps[step]();
    atomic_fetch_add(&taken[step], 1);
  }
  atomic_store(&stop, true);
  join_thread(disturber);
  for (int i = 0; i < kVictims; ++i) join_thread(victims[i]);
  for (int i = 0; i < kWorkers; ++i) join_thread(workers[i]);
  for (int i = 0; i < kGroup; ++i) join_thread(group[i]);
  for (int i = 0; i < kRing; ++i) join_thread(passers[i]);
  check_sums();
  if (getenv("STRESS_COUNTS") != NULL) {
    for (int i = 0; i < kSteps; ++i) fprintf(stderr, "step %d: %lu\n", i, atomic_load(&taken[i]));
    fprintf(stderr, "signals %lu, cancelled %lu, rounds %ld\n", atomic_load(&signals_handled),
            atomic_load(&cancelled_count), rounds[0]);
  }
  SAY("all invariants hold");
  return 0;
}
