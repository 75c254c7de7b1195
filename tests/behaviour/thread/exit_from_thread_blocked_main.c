// exit(3) from a thread while main is blocked in read, and another thread in a loop without end.
#include "check.h"

static volatile int turns;

static void* turn(void* argument) {
  (void)argument;
  for (;;) ++turns;
  return NULL;
}

static void* call_exit(void* argument) {
  (void)argument;
  nap(30);
  SAY("exiting");
  exit(9);
}

int main(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  start_thread(turn, NULL);
  start_thread(call_exit, NULL);
  char byte;
  CHECK(read(ends[0], &byte, 1) == 1);
  SAY("not reached");
  return 0;
}
