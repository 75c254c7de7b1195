// Built with _FORTIFY_SOURCE=2: a read longer than its buffer is detected, the process aborts.
#include "check.h"

static void* read_too_much(void* argument) {
  char buffer[8];
  int ends[2];
  volatile size_t length = 100;
  CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  ssize_t count = read(ends[0], buffer, length);
  SAY("not reached: %zd", count);
  return argument;
}

int main(void) {
  SAY("reading");
  join_thread(start_thread(read_too_much, NULL));
  return 0;
}
