// pipe(7): a reader waits for data and gets what there is, 0 when the last writer has closed; a writer waits
// for room, EPIPE without a reader (SIGPIPE ignored).
#include "check.h"

#include <signal.h>

static int ends[2];

static void* write_and_close(void* argument) {
  for (int i = 0; i < 5; ++i) {
    nap(3);
    CHECK(write(ends[1], "12345", (size_t)i + 1) == i + 1);
  }
  nap(10);
  CHECK(close(ends[1]) == 0);
  return argument;
}

static void* read_slowly(void* argument) {
  static char buffer[4096];
  size_t total = 0;
  ssize_t count;
  while ((count = read(ends[0], buffer, sizeof buffer)) > 0) {
    total += (size_t)count;
    if (total % (1 << 17) == 0) nap(1);
  }
  CHECK(count == 0 && close(ends[0]) == 0);
  *(size_t*)argument = total;
  return NULL;
}

static void* run(void* argument) {
  static char large[1 << 20];
  char buffer[64];
  size_t total = 0;
  CHECK(pipe(ends) == 0);
  pthread_t thread = start_thread(write_and_close, NULL);
  ssize_t count;
  while ((count = read(ends[0], buffer, sizeof buffer)) > 0) total += (size_t)count;
  CHECK(count == 0 && total == 15);
  join_thread(thread);
  CHECK(close(ends[0]) == 0 && pipe(ends) == 0);
  thread = start_thread(read_slowly, &total);
  CHECK(write(ends[1], large, sizeof large) == sizeof large && "a blocking write takes everything");
  CHECK(write(ends[1], large, 0) == 0);
  CHECK(close(ends[1]) == 0);
  join_thread(thread);
  CHECK(total == sizeof large && pipe(ends) == 0 && close(ends[0]) == 0);
  CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
  CHECK(close(ends[1]) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  run("main");
  join_thread(start_thread(run, "a thread"));
  return 0;
}
