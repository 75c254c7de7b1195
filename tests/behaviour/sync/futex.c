// futex(2) through syscall(2): EAGAIN, ETIMEDOUT, EINVAL, the counts that FUTEX_WAKE returns, bit sets,
// requeue.
#include "check.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

enum { threads = 10 };

static int word, other;
static int waiting, woken;

static long futex(int* address, int operation, int value, const void* fourth, int* second, int third) {
  return syscall(SYS_futex, address, operation, value, fourth, second, third);
}

static void* wait_plain(void* argument) {
  __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
  CHECK(futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0);
  __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
  return argument;
}

static void* wait_for_bit(void* argument) {
  __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
  int bit = 1 << (intptr_t)argument;
  CHECK(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bit) == 0);
  return NULL;
}

static void* fail_to_wait(void* argument) {
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0), EAGAIN);
  struct timespec time = milliseconds(20), before = clock_after(CLOCK_MONOTONIC, 20);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, before));
  time = clock_after(CLOCK_MONOTONIC, 20);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, &time, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, time));
  time = clock_after(CLOCK_REALTIME, 20);
  int operation = FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME;
  CHECK_ERRNO(futex(&word, operation, 0, &time, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_REALTIME, time));
  time.tv_nsec = 1000000000;
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0), EINVAL);
  CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(futex((int*)((char*)&word + 1), FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EINVAL);
  CHECK(futex(&other, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
  return argument;
}

// Wakes until the given number has been woken in all: a waiter may not be asleep yet.
static void wake_counted(int* address, int at_a_time, int bits, int number) {
  int operation = bits == 0 ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE_BITSET_PRIVATE;
  while (number > 0) {
    long count = futex(address, operation, at_a_time, NULL, NULL, bits);
    CHECK(count >= 0 && count <= at_a_time && count <= number);
    number -= (int)count;
    if (count == 0) nap(1);
  }
}

static void requeue(pthread_t* thread) {
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_plain, NULL);
  int moved = 0;
  CHECK_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, number_pointer(INT_MAX), &other, 7), EAGAIN);
  while (moved < threads) {
    long count = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, number_pointer(INT_MAX), &other, 0);
    CHECK(count >= 0);
    moved += (int)count;
    nap(1);
  }
  CHECK(moved == threads && futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
  CHECK(futex(&other, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == threads);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
}

int main(void) {
  pthread_t thread[threads];
  fail_to_wait(NULL);
  join_thread(start_thread(fail_to_wait, NULL));
  SAY("refused");
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_plain, NULL);
  wake_counted(&word, 3, 0, threads);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d woken", woken);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_for_bit, number_pointer(i));
  for (int i = threads - 1; i >= 0; --i) {
    wake_counted(&word, 1, 1 << i, 1);
    join_thread(thread[i]);
  }
  SAY("woken by bit");
  requeue(thread);
  SAY("requeued");
  return 0;
}
