// A lock made of a futex by hand (Drepper, "Futexes are tricky"), used by 150 threads and main.
#include "check.h"

#include <linux/futex.h>
#include <sys/syscall.h>

enum { threads = 150, rounds = 200 };

static int state;  // 0 free, 1 held, 2 held and perhaps waited for
static long counter;

static void lock(void) {
  int expected = 0;
  if (__atomic_compare_exchange_n(&state, &expected, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(&state, 2, __ATOMIC_ACQUIRE) != 0) {
    long result = syscall(SYS_futex, &state, FUTEX_WAIT_PRIVATE, 2, NULL);
    CHECK(result == 0 || errno == EAGAIN || errno == EINTR);
  }
}

static void unlock(void) {
  if (__atomic_exchange_n(&state, 0, __ATOMIC_RELEASE) == 2) {
    CHECK(syscall(SYS_futex, &state, FUTEX_WAKE_PRIVATE, 1) >= 0);
  }
}

static void* count(void* argument) {
  nap(100);  // all are alive
  for (int round = 0; round < rounds; ++round) {
    lock();
    long before = counter;
    if (before % 2000 == 0) nap(1);
    counter = before + 1;
    unlock();
  }
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count, NULL);
  count(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("counted %ld", counter);
  return 0;
}
