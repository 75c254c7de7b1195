// GNU C nested functions in threads: their trampolines are code on the thread's stack.
#include "check.h"

static int apply(int (*function)(int), int value) {
  if (value % 100 == 3) nap(30);
  return function(value);
}

static void* use(void* argument) {
  int own = (int)(intptr_t)argument, calls = 0;
  int add(int value) {
    ++calls;
    return value + own;
  }
  int sum = 0;
  for (int i = 0; i < 200; ++i) sum = apply(add, sum);
  CHECK(calls == 200);
  return number_pointer(sum);
}

int main(void) {
  pthread_t threads[20];
  for (int i = 0; i < 20; ++i) threads[i] = start_thread(use, number_pointer(i));
  for (int i = 0; i < 20; ++i) CHECK((intptr_t)join_thread(threads[i]) == 200 * i);
  SAY("sums are right");
  return 0;
}
