// The environment is the program's: cleared in main or in a thread, threads and children go on, a child gets
// what it is given, and setenv is seen by all threads.
#include "check.h"

#include <sys/wait.h>

static void* work(void* argument) {
  int pair[2];
  char byte = 0;
  CHECK(pipe(pair) == 0);
  CHECK(getenv("COSHIM_BEHAVIOUR") != NULL && strcmp(getenv("COSHIM_BEHAVIOUR"), "given") == 0);
  pid_t child = fork();
  if (child == 0) {
    char* arguments[] = {"sh", "-c", "test \"$A\" = b && echo $A", NULL};
    char* environment[] = {"A=b", "PATH=/usr/bin:/bin", NULL};
    dup2(pair[1], 1);
    execve("/bin/sh", arguments, environment);
    _exit(1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(read(pair[0], &byte, 1) == 1 && byte == 'b');
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
  return argument;
}

static void* clear(void* argument) {
  CHECK(clearenv() == 0 && setenv("COSHIM_BEHAVIOUR", "given", 1) == 0);
  return argument;
}

int main(void) {
  join_thread(start_thread(clear, NULL));
  pthread_t threads[10];
  for (int i = 0; i < 10; ++i) threads[i] = start_thread(work, NULL);
  for (int i = 0; i < 10; ++i) join_thread(threads[i]);
  CHECK(clearenv() == 0 && system("exit 7") == 7 << 8);
  SAY("%d", getenv("PATH") == NULL);
  return 0;
}
