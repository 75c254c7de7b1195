// A writer blocked on a full pipe returns when the reader goes: with what it had written, then with EPIPE,
// and SIGPIPE goes to the thread that wrote.
#include "check.h"

#include <signal.h>

static __thread int own_signals;
static int ends[2];

static void count_signal(int number) {
  CHECK(number == SIGPIPE);
  ++own_signals;
}

static void* write_too_much(void* argument) {
  static char large[1 << 20];
  ssize_t count = write(ends[1], large, sizeof large);
  CHECK(count > 0 && count < (ssize_t)sizeof large);
  CHECK_ERRNO(write(ends[1], large, sizeof large), EPIPE);
  CHECK(own_signals >= 1);
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = count_signal;
  CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
  CHECK(pipe(ends) == 0);
  pthread_t thread = start_thread(write_too_much, NULL);
  char byte;
  CHECK(read(ends[0], &byte, 1) == 1);
  nap(30);
  CHECK(close(ends[0]) == 0);
  join_thread(thread);
  CHECK(own_signals == 0);
  SAY("short count, then EPIPE");
  return 0;
}
