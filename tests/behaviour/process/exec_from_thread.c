// execve(2) from a thread: the other threads vanish, blocked or running, the process goes on as the new
// program, with the same process id and its non-close-on-exec descriptors.
#include "check.h"

#include <fcntl.h>

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

static void* execute(void* argument) {
  char pid[20], script[200];
  nap(10);
  int kept = dup(0), closing = fcntl(0, F_DUPFD_CLOEXEC, 3);
  CHECK(kept == 3 && closing == 4);
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  snprintf(script, sizeof script,
           "test $$ = %s && echo same process; test -e /proc/$$/fd/3 && echo kept; test -e /proc/$$/fd/4 || "
           "echo closed; "
           "set -- /proc/$$/task/*; echo $# thread",
           pid);
  char* words[] = {"sh", "-c", script, NULL};
  execvp("sh", words);
  CHECK(0 && "execvp returned");
  return argument;
}

int main(void) {
  SAY("before");
  for (int i = 0; i < 20; ++i) start_thread(sleep_long, NULL);
  start_thread(turn, NULL);
  join_thread(start_thread(execute, NULL));
  return 1;
}
