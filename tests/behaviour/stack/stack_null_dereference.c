// A SIGSEGV handler of the program's own, on its own alternate stack, for a null dereference in a thread.
#include "check.h"

#include <setjmp.h>
#include <signal.h>

static __thread sigjmp_buf before;
static __thread char alternate[32 << 10];
static int* volatile nowhere;

static void jump_out(int number, siginfo_t* information, void* context) {
  char local;
  (void)context;
  CHECK(number == SIGSEGV && information->si_addr == NULL && information->si_code == SEGV_MAPERR);
  CHECK(&local >= alternate && &local < alternate + sizeof alternate);
  siglongjmp(before, 1);
}

static void* dereference(void* argument) {
  stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  nap(2);
  stack_t found;
  CHECK(sigaltstack(NULL, &found) == 0 && found.ss_sp == alternate && found.ss_size == sizeof alternate);
  if (sigsetjmp(before, 1) == 0) {
    *nowhere = 1;
    CHECK(0 && "not reached");
  }
  nap(2);
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = jump_out;
  action.sa_flags = SA_ONSTACK | SA_SIGINFO;
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  pthread_t thread[10];
  for (int i = 0; i < 10; ++i) thread[i] = start_thread(dereference, number_pointer(i));
  for (int i = 0; i < 10; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  SAY("ten threads survived");
  return 0;
}
