// fork and exec, posix_spawn, vfork and exec from threads at the same time: statuses, pipes, a missing
// program.
#include "check.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

enum { threads = 15 };

extern char** environ;

static int status_of(pid_t child) {
  int status;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static pid_t with_fork(char** words) {
  pid_t child = fork();
  if (child == 0) {
    execv(words[0], words);
    _exit(127);
  }
  return child;
}

static pid_t with_vfork(char** words) {
  pid_t child = vfork();
  if (child == 0) {
    execve(words[0], words, environ);
    _exit(127);
  }
  return child;
}

static pid_t with_spawn(char** words) {
  pid_t child = 0;
  CHECK(posix_spawn(&child, words[0], NULL, NULL, words, environ) == 0);
  return child;
}

static void spawn_with_actions(int own) {
  int ends[2];
  char command[50], buffer[50];
  pid_t child;
  posix_spawn_file_actions_t actions;
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0);
  snprintf(command, sizeof command, "echo number %d", own);
  char* words[] = {"sh", "-c", command, NULL};
  CHECK(posix_spawnp(&child, "sh", &actions, NULL, words, environ) == 0);
  CHECK(posix_spawn_file_actions_destroy(&actions) == 0 && close(ends[1]) == 0);
  CHECK(read(ends[0], buffer, sizeof buffer) > 7 && atoi(buffer + 7) == own);
  CHECK(read(ends[0], buffer, sizeof buffer) == 0 && close(ends[0]) == 0);
  CHECK(status_of(child) == 0);
}

static void* run_children(void* argument) {
  int own = (int)(intptr_t)argument;
  char command[50];
  snprintf(command, sizeof command, "exit %d", own);
  char* words[] = {"/bin/sh", "-c", command, NULL};
  char* missing[] = {"/nowhere/program", NULL};
  CHECK(status_of(with_fork(words)) == own);
  CHECK(status_of(with_vfork(words)) == own);
  CHECK(status_of(with_spawn(words)) == own);
  CHECK(status_of(with_fork(missing)) == 127);
  CHECK(status_of(with_vfork(missing)) == 127);
  pid_t child;
  CHECK(posix_spawn(&child, missing[0], NULL, NULL, missing, environ) == ENOENT);
  spawn_with_actions(own);
  nap(1);
  return NULL;
}

int main(void) {
  run_children(number_pointer(threads));
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(run_children, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("every child's own status");
  return 0;
}
