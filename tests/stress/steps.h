// What the threads of mix.c do: each step uses one primitive for a moment and checks what it promises.
#ifndef TESTS_STRESS_STEPS_H_
#define TESTS_STRESS_STEPS_H_

#include "check.h"

#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { kTokens = 3, kQueue = 8, kPairs = 4 };

static atomic_ulong signals_handled;
static atomic_long inside_tokens, put_total, taken_total;

// ---- what a thread knows of itself

static __thread pthread_t own_self;
static __thread unsigned long long random_state;
static __thread int handler_check;  // own_self is set

static unsigned below(unsigned bound) {
  random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(random_state >> 33) % bound;
}

static void delay(void) {
  unsigned kind = below(16);
  if (kind == 0) {
    struct timespec time = {0, (long)below(300000)};
    nanosleep(&time, NULL);
  } else if (kind == 1) {
    sched_yield();
  } else if (kind == 2) {
    for (volatile unsigned i = below(20000); i > 0; --i) continue;
  }
}

static void handle(int number) {
  int saved = errno;
  CHECK(number == SIGUSR1 || number == SIGUSR2);
  if (handler_check) CHECK(pthread_equal(own_self, pthread_self()));
  atomic_fetch_add(&signals_handled, 1);
  errno = saved;
}

// ---- mutexes: the two counters differ only while the mutex is held

struct locked_pair {
  pthread_mutex_t mutex;
  long first, second;
};
static struct locked_pair pairs[kPairs];

static void unlock(void* mutex) {
  CHECK(pthread_mutex_unlock(mutex) == 0);
}

static void use_mutex(void) {
  struct locked_pair* pair = &pairs[below(kPairs)];
  int result;
  if (below(3) == 0) {
    struct timespec until = clock_after(CLOCK_REALTIME, below(3));
    result = pthread_mutex_timedlock(&pair->mutex, &until);
    CHECK(result == 0 || result == ETIMEDOUT);
    if (result != 0) CHECK(clock_reached(CLOCK_REALTIME, until));
  } else if (below(3) == 0) {
    result = pthread_mutex_trylock(&pair->mutex);
    CHECK(result == 0 || result == EBUSY);
  } else {
    result = pthread_mutex_lock(&pair->mutex);
    CHECK(result == 0);
  }
  if (result != 0) return;
  pthread_cleanup_push(unlock, &pair->mutex);
  CHECK(pair->first == pair->second);
  int before;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  ++pair->first;
  delay();
  ++pair->second;
  CHECK(pthread_setcancelstate(before, NULL) == 0);
  pthread_testcancel();
  pthread_cleanup_pop(1);
}

// ---- readers and writers

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long written_first, written_second;
static atomic_int readers, writers;

static void use_rwlock(void) {
  int before;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  if (below(4) == 0) {
    CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
    CHECK(atomic_fetch_add(&writers, 1) == 0 && atomic_load(&readers) == 0);
    ++written_first;
    delay();
    ++written_second;
    CHECK(atomic_fetch_sub(&writers, 1) == 1);
  } else {
    CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
    atomic_fetch_add(&readers, 1);
    CHECK(atomic_load(&writers) == 0 && written_first == written_second);
    delay();
    atomic_fetch_sub(&readers, 1);
  }
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  CHECK(pthread_setcancelstate(before, NULL) == 0);
}

// ---- a semaphore with so many tokens

static sem_t tokens;

static void give_token(void* argument) {
  (void)argument;
  CHECK(atomic_fetch_sub(&inside_tokens, 1) > 0);
  CHECK(sem_post(&tokens) == 0);
}

static void use_semaphore(void) {
  int before;
  if (below(2) == 0) {
    while (sem_wait(&tokens) == -1) CHECK(errno == EINTR);
  } else {
    struct timespec until = clock_after(CLOCK_REALTIME, below(4));
    if (sem_timedwait(&tokens, &until) == -1) {
      CHECK(errno == EINTR || errno == ETIMEDOUT);
      return;
    }
  }
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  CHECK(atomic_fetch_add(&inside_tokens, 1) < kTokens);
  pthread_cleanup_push(give_token, NULL);
  CHECK(pthread_setcancelstate(before, NULL) == 0);
  delay();
  pthread_testcancel();
  pthread_cleanup_pop(1);
}

// ---- a bounded queue with conditions

static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static int queue[kQueue], queue_length;

static void wait_a_moment(pthread_cond_t* condition) {
  struct timespec until = clock_after(CLOCK_REALTIME, 1 + below(20));
  int result = pthread_cond_timedwait(condition, &queue_mutex, &until);
  CHECK(result == 0 || result == ETIMEDOUT);
}

static void use_queue(void) {
  CHECK(pthread_mutex_lock(&queue_mutex) == 0);
  pthread_cleanup_push(unlock, &queue_mutex);
  if (below(2) == 0) {
    if (queue_length == kQueue) wait_a_moment(&not_full);
    if (queue_length < kQueue) {
      queue[queue_length] = (int)below(1000);
      atomic_fetch_add(&put_total, queue[queue_length++]);
      CHECK((below(4) == 0 ? pthread_cond_broadcast(&not_empty) : pthread_cond_signal(&not_empty)) == 0);
    }
  } else {
    if (queue_length == 0) wait_a_moment(&not_empty);
    if (queue_length > 0) {
      atomic_fetch_add(&taken_total, queue[--queue_length]);
      CHECK((below(4) == 0 ? pthread_cond_broadcast(&not_full) : pthread_cond_signal(&not_full)) == 0);
    }
  }
  pthread_cleanup_pop(1);
}

// ---- futexes, spin locks, keys, threads

static uint32_t word;

static void use_futex(void) {
  if (below(2) == 0) {
    struct timespec time = {0, (long)below(3000000)};
    long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, __atomic_load_n(&word, __ATOMIC_RELAXED),
                          &time, NULL, 0);
    CHECK(result == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
  } else {
    __atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1 + below(3), NULL, NULL, 0) >= 0);
  }
}

static pthread_spinlock_t spin;
static long spun;
static atomic_long spins;

static void use_spin_lock(void) {
  CHECK(pthread_spin_lock(&spin) == 0);
  ++spun;
  CHECK(pthread_spin_unlock(&spin) == 0);
  atomic_fetch_add(&spins, 1);
}

static pthread_key_t key;
static atomic_long keys_set, keys_destroyed;

static void destroy_value(void* value) {
  free(value);
  atomic_fetch_add(&keys_destroyed, 1);
}

static void use_key(void) {
  int* value = pthread_getspecific(key);
  if (value == NULL) {
    CHECK((value = malloc(sizeof *value)) != NULL);
    CHECK(pthread_setspecific(key, value) == 0);
    atomic_fetch_add(&keys_set, 1);
  }
  *value = (int)below(100000);
  int expected = *value;
  errno = expected;
  sched_yield();
  CHECK(errno == expected);
  delay();
  CHECK(pthread_getspecific(key) == value && *value == expected);
}

static void* short_life(void* argument) {
  random_state = (uintptr_t)argument;
  own_self = pthread_self();
  use_key();
  if (below(2) == 0) pthread_exit(argument);
  return argument;
}

static void use_thread(void) {
  int before;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  void* argument = number_pointer(1 + (intptr_t)below(1000000));
  pthread_t thread = start_thread(short_life, argument);
  delay();
  if (below(4) == 0) {
    CHECK(pthread_detach(thread) == 0);
  } else {
    CHECK(join_thread(thread) == argument);
  }
  CHECK(pthread_setcancelstate(before, NULL) == 0);
}

#endif
