// Threads that trace (ptrace(2)): the tracer is the thread, not the process, and waitpid tells it when its
// tracee stops, whatever options it has.
#include "check.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#define THREADS 10

static void look(pid_t child) {
  struct user_regs_struct registers;
  for (int i = 0; i < 10; ++i) {
    nap(i % 3);
    CHECK(ptrace(PTRACE_GETREGS, child, NULL, &registers) == 0 && registers.rip != 0);
    errno = 0;
    ptrace(PTRACE_PEEKTEXT, child, (void*)registers.rip, NULL);
    CHECK(errno == 0);
  }
}

static void end(pid_t child) {
  int status;
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void* attach(void* unused) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    for (;;) pause();
  }
  nap(5);
  CHECK(ptrace(PTRACE_ATTACH, child, NULL, NULL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  look(child);
  CHECK(ptrace(PTRACE_DETACH, child, NULL, NULL) == 0);
  end(child);
  return unused;
}

static void* trace_child(void* unused) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    nap(20);
    raise(SIGSTOP);
    _exit(3);
  }
  CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  look(child);
  CHECK(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
  return unused;
}

static void run(void* (*routine)(void*)) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(routine, NULL);
  for (int i = 0; i < THREADS; ++i) join_thread(threads[i]);
}

int main(void) {
  run(attach);
  SAY("attached");
  run(trace_child);
  SAY("traced from the start");
  return 0;
}
