// wait(2), waitpid(2), waitid(2), wait4(2) in threads: any child, a group, stopped and continued ones,
// WNOWAIT, ECHILD, the resource usage; thirty threads in wait() share thirty children.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int gate[2];

static pid_t child_until_told(int status) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char byte;
    close(gate[1]);
    _exit(read(gate[0], &byte, 1) == 0 ? status : 99);
  }
  return child;
}

static atomic_int sum;
static void* wait_any(void* argument) {
  int status;
  pid_t child = (intptr_t)argument % 2 ? wait(&status) : waitpid(-1, &status, 0);
  CHECK(child > 0 && WIFEXITED(status));
  atomic_fetch_add(&sum, WEXITSTATUS(status));
  return NULL;
}

static void* stop_and_go(void* argument) {
  siginfo_t info;
  pid_t child = child_until_told(3);
  int status;
  CHECK(kill(child, SIGSTOP) == 0);
  CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  CHECK(kill(child, SIGCONT) == 0);
  CHECK(waitid(P_PID, (id_t)child, &info, WCONTINUED) == 0 && info.si_code == CLD_CONTINUED);
  CHECK(waitpid(child, &status, WNOHANG) == 0);
  int descriptor = (int)syscall(SYS_pidfd_open, child, O_NONBLOCK);
  CHECK(descriptor >= 0);
  CHECK_ERRNO(waitid(P_PIDFD, (id_t)descriptor, &info, WEXITED), EAGAIN);
  CHECK(close(descriptor) == 0 && kill(child, SIGKILL) == 0);
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0 && info.si_code == CLD_KILLED);
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  CHECK(wait4(child, &status, 0, &usage) == child && WTERMSIG(status) == SIGKILL && usage.ru_maxrss >= 0);
  CHECK_ERRNO(waitpid(child, &status, 0), ECHILD);
  CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
  return argument;
}

int main(void) {
  CHECK(pipe(gate) == 0);
  join_thread(start_thread(stop_and_go, NULL));
  pthread_t threads[30];
  for (int i = 0; i < 30; ++i) child_until_told(i);
  for (int i = 0; i < 30; ++i) threads[i] = start_thread(wait_any, number_pointer(i));
  nap(50);
  CHECK(close(gate[1]) == 0);
  for (int i = 0; i < 30; ++i) join_thread(threads[i]);
  CHECK_ERRNO(wait(NULL), ECHILD);
  SAY("sum %d", atomic_load(&sum));
  return 0;
}
