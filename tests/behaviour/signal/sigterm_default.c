// SIGTERM without a handler ends the process by that signal, whatever its threads do.
#include "check.h"

#include <signal.h>

static volatile long turns;

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

static void* turn(void* argument) {
  (void)argument;
  for (;;) ++turns;
  return NULL;
}

static void* terminate(void* argument) {
  nap(20);
  SAY("sending SIGTERM");
  CHECK(kill(getpid(), SIGTERM) == 0);
  nap(1000000);
  return argument;
}

int main(void) {
  for (int i = 0; i < 20; ++i) start_thread(sleep_long, NULL);
  start_thread(turn, NULL);
  join_thread(start_thread(terminate, NULL));
  return 0;
}
