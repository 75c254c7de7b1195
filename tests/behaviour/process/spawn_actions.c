// posix_spawn(3) from threads, with every file action and the attributes: the child sees what they ask for.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

static int spawn_and_wait(const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
                          char* script) {
  char* arguments[] = {"sh", "-c", script, NULL};
  pid_t child;
  int status, error = posix_spawnp(&child, "sh", actions, attributes, arguments, environ);
  if (error != 0) return -error;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void* spawn(void* argument) {
  int pair[2], number = (int)(intptr_t)argument;
  char text[64], directory[32];
  snprintf(directory, sizeof directory, "directory%d", number);
  CHECK(pipe2(pair, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) == 0);
  CHECK(posix_spawn_file_actions_adddup2(&actions, pair[1], 1) == 0);
  CHECK(posix_spawn_file_actions_adddup2(&actions, 1, 9) == 0);
  CHECK(posix_spawn_file_actions_addclose(&actions, 2) == 0);
  CHECK(posix_spawn_file_actions_addchdir_np(&actions, directory) == 0);
  posix_spawnattr_t attributes;
  sigset_t set;
  CHECK(posix_spawnattr_init(&attributes) == 0 && sigfillset(&set) == 0);
  CHECK(posix_spawnattr_setsigdefault(&attributes, &set) == 0 && sigemptyset(&set) == 0);
  CHECK(posix_spawnattr_setsigmask(&attributes, &set) == 0 && posix_spawnattr_setpgroup(&attributes, 0) == 0);
  CHECK(posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP) == 0);
  int status = spawn_and_wait(&actions, &attributes,
                              "basename \"$PWD\" >&9; (: >&2) 2>/dev/null && exit 3; kill -TERM $$; exit 4");
  CHECK(status == 3 || status == 1000 + SIGTERM);
  CHECK(close(pair[1]) == 0);
  ssize_t count = read(pair[0], text, sizeof text);
  CHECK(count == (ssize_t)strlen(directory) + 1 && strncmp(text, directory, strlen(directory)) == 0);
  CHECK(read(pair[0], text, 1) == 0 && close(pair[0]) == 0);
  CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
  // An action that fails ends the child, and the error comes back.
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_addopen(&actions, 0, "/does/not/exist", O_RDONLY, 0) == 0);
  CHECK(spawn_and_wait(&actions, NULL, "exit 0") == -ENOENT);
  CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_addclosefrom_np(&actions, 3) == 0);
  CHECK(spawn_and_wait(&actions, NULL, "ls /proc/self/fd | wc -l | grep -qx 4") == 0);
  CHECK(posix_spawn_file_actions_destroy(&actions) == 0 && posix_spawnattr_destroy(&attributes) == 0);
  return NULL;
}

int main(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; ++i) {
    char directory[32];
    snprintf(directory, sizeof directory, "mkdir directory%d", i);
    CHECK(system(directory) == 0);
    threads[i] = start_thread(spawn, number_pointer(i));
  }
  for (int i = 0; i < 8; ++i) join_thread(threads[i]);
  SAY("spawned");
  return 0;
}
