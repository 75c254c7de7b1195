// abort(3) in a thread: SIGABRT ends the process; a handler that returns does not prevent it.
#include "check.h"

#include <signal.h>

static __thread int own;

static void handle(int number) {
  static const char text[] = "handler on the aborting thread\n";
  if (number == SIGABRT && own == 3 && write(STDOUT_FILENO, text, sizeof text - 1) < 0) _exit(1);
}

static void* call_abort(void* argument) {
  own = 3;
  nap(5);
  abort();
  return argument;
}

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

int main(void) {
  CHECK(signal(SIGABRT, handle) != SIG_ERR);
  for (int i = 0; i < 5; ++i) start_thread(sleep_long, NULL);
  join_thread(start_thread(call_abort, NULL));
  return 0;
}
