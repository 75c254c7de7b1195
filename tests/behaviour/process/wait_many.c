// 40 threads in waitpid(2), waitid(2), wait4(2), each for a child of its own that lives until told; nothing
// else stops meanwhile, each gets its own child.
#include "check.h"

#include <sys/resource.h>
#include <sys/wait.h>

enum { threads = 40 };

static pid_t child[threads];
static int release[threads][2];
static int reaped;

static void* wait_for_child(void* argument) {
  int own = (int)(intptr_t)argument, status = 0;
  siginfo_t information;
  struct rusage usage;
  if (own % 3 == 0) {
    CHECK(waitpid(child[own], &status, 0) == child[own] && WEXITSTATUS(status) == own);
  } else if (own % 3 == 1) {
    CHECK(waitid(P_PID, (id_t)child[own], &information, WEXITED) == 0);
    CHECK(information.si_pid == child[own] && information.si_status == own);
  } else {
    CHECK(wait4(child[own], &status, 0, &usage) == child[own] && WEXITSTATUS(status) == own);
  }
  __atomic_add_fetch(&reaped, 1, __ATOMIC_SEQ_CST);
  CHECK_ERRNO(waitpid(child[own], &status, 0), ECHILD);
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) {
    CHECK(pipe(release[i]) == 0);
    CHECK((child[i] = fork()) >= 0);
    if (child[i] == 0) {
      char byte;
      CHECK(read(release[i][0], &byte, 1) == 1);
      _exit(i);
    }
  }
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_for_child, number_pointer(i));
  nap(50);
  CHECK(waitpid(child[0], NULL, WNOHANG) == 0);
  for (int i = threads - 1; i >= 0; --i) {
    CHECK(write(release[i][1], "x", 1) == 1);
    while (__atomic_load_n(&reaped, __ATOMIC_SEQ_CST) < threads - i) nap(1);
    CHECK(__atomic_load_n(&reaped, __ATOMIC_SEQ_CST) == threads - i);
  }
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK_ERRNO(wait(NULL), ECHILD);
  SAY("%d reaped", reaped);
  return 0;
}
