// The thread that called fork() is the child's only one: when it ends, by pthread_exit(3), cancellation or
// return, the child exits with status 0, after cleanup handlers, keys' destructors and atexit(3)'s functions.
#include "check.h"

#include <sys/wait.h>

static pthread_key_t key;

static void at_exit(void) {
  SAY("  atexit");
}
static void destroy(void* value) {
  (void)value;
  SAY("  key's destructor");
}
static void clean(void* argument) {
  (void)argument;
  SAY("  cleanup handler");
}

static void end_in_child(int way) {
  pthread_cleanup_push(clean, NULL);
  if (way == 0) pthread_exit(NULL);
  if (way == 1) {
    CHECK(pthread_cancel(pthread_self()) == 0);
    pthread_testcancel();
  }
  pthread_cleanup_pop(0);
}

static void* fork_and_end(void* argument) {
  int way = (int)(intptr_t)argument;
  CHECK(pthread_setspecific(key, &key) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(atexit(at_exit) == 0);
    end_in_child(way);
    return NULL;
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  SAY("way %d: status %d", way, WEXITSTATUS(status));
  CHECK(pthread_setspecific(key, NULL) == 0);
  return NULL;
}

int main(void) {
  CHECK(pthread_key_create(&key, destroy) == 0);
  for (int way = 0; way < 3; ++way) join_thread(start_thread(fork_and_end, number_pointer(way)));
  return 0;
}
