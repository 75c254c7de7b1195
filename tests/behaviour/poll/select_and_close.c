// Descriptors that another thread closes while select(2) waits for them: it goes on waiting, and when it
// ends, for another descriptor or its time, such a one counts as ready in each set that it is in.
#include "check.h"

#include <sys/select.h>

struct wait {
  int closed, other, milliseconds, in_both;
  int result, error, closed_read, closed_written, other_read;
};

static void* wait_for_them(void* argument) {
  struct wait* wait = argument;
  fd_set reads, writes;
  FD_ZERO(&reads);
  FD_ZERO(&writes);
  FD_SET(wait->closed, &reads);
  FD_SET(wait->other, &reads);
  if (wait->in_both) FD_SET(wait->closed, &writes);
  int most = wait->closed > wait->other ? wait->closed : wait->other;
  struct timeval time = {wait->milliseconds / 1000, wait->milliseconds % 1000 * 1000};
  wait->result = select(most + 1, &reads, wait->in_both ? &writes : NULL, NULL, &time);
  wait->error = errno;
  wait->closed_read = FD_ISSET(wait->closed, &reads) != 0;
  wait->closed_written = FD_ISSET(wait->closed, &writes) != 0;
  wait->other_read = FD_ISSET(wait->other, &reads) != 0;
  return NULL;
}

// The end of a pipe for reading is never ready for writing.
static struct wait close_during(int milliseconds, int in_both, int write_to_other) {
  for (long before = 20;;) {
    int first[2], second[2];
    CHECK(pipe(first) == 0 && pipe(second) == 0);
    struct wait wait = {
        .closed = first[0], .other = second[0], .milliseconds = milliseconds, .in_both = in_both};
    static struct wait shared;  // not on a stack: threads of the library may share theirs
    shared = wait;
    pthread_t thread = start_thread(wait_for_them, &shared);
    nap(before);
    CHECK(close(first[0]) == 0);
    if (write_to_other) CHECK(write(second[1], "x", 1) == 1);
    join_thread(thread);
    CHECK(close(first[1]) == 0 && close(second[0]) == 0 && close(second[1]) == 0);
    const int too_late = shared.result == -1 && shared.error == EBADF;  // it began after the close
    const int too_early = shared.result == 0;                           // it was over before the close
    if (!too_late && !too_early) return shared;
    if (too_late && before < 500) before *= 2;
  }
}

static void* all(void* argument) {
  struct wait wait = close_during(60000, 0, 1);
  CHECK(wait.result == 2 && wait.closed_read && wait.other_read);
  wait = close_during(60000, 1, 1);
  CHECK(wait.result == 3 && wait.closed_read && wait.closed_written && wait.other_read);
  wait = close_during(1000, 0, 0);
  CHECK(wait.result == 1 && wait.closed_read && !wait.other_read);
  SAY("closed is ready");
  return argument;
}

int main(void) {
  all(NULL);
  join_thread(start_thread(all, NULL));
  return 0;
}
