// A stack overflow in a thread kills the process with SIGSEGV, and no other thread's memory was written to.
#include "check.h"

static volatile long depth;

static volatile long no_end = -1;

__attribute__((noinline)) static long endless(long number) {
  volatile char frame[512];
  frame[number % 512] = (char)number;
  depth = number;
  long below = number == no_end ? 0 : endless(number + 1);
  return below + frame[0];
}

static void* overflow(void* argument) {
  return number_pointer(endless((intptr_t)argument));
}

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

int main(void) {
  for (int i = 0; i < 5; ++i) start_thread(sleep_long, NULL);
  SAY("descending");
  join_thread(start_thread(overflow, NULL));
  SAY("not reached");
  return 0;
}
