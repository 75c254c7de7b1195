// C11 7.26.5: create, join with result, exit from a nested call, equality, detach, sleep, yield.
#include "check.h"

#include <stdatomic.h>
#include <threads.h>

static thrd_t seen;
static atomic_int ended;

static int return_negative(void* argument) {
  seen = thrd_current();
  thrd_yield();
  return -*(int*)argument;
}

static void leave(void) {
  thrd_exit(77);
}

static int exit_nested(void* argument) {
  (void)argument;
  struct timespec time = milliseconds(5);
  CHECK(thrd_sleep(&time, NULL) == 0);
  leave();
  return 1;
}

static int end_later(void* argument) {
  (void)argument;
  struct timespec time = milliseconds(20);
  CHECK(thrd_sleep(&time, NULL) == 0);
  atomic_store(&ended, 1);
  return 0;
}

int main(void) {
  thrd_t thread;
  int value = 42, result = 0;
  CHECK(thrd_create(&thread, return_negative, &value) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == -42);
  CHECK(thrd_equal(thread, seen) && !thrd_equal(thrd_current(), seen));
  CHECK(thrd_create(&thread, exit_nested, NULL) == thrd_success);
  CHECK(thrd_join(thread, &result) == thrd_success && result == 77);
  CHECK(thrd_create(&thread, return_negative, &value) == thrd_success);
  CHECK(thrd_join(thread, NULL) == thrd_success);
  CHECK(thrd_create(&thread, end_later, NULL) == thrd_success);
  CHECK(thrd_detach(thread) == thrd_success);
  while (!atomic_load(&ended)) thrd_yield();
  SAY("create, join, exit, detach");
  return 0;
}
