// sigaltstack(2): a thread with its own alternate stack and a SIGSEGV handler survives its own stack overflow
// by siglongjmp, more than once; the handler runs on the alternate stack of the thread that overflowed.
#include "check.h"

#include <setjmp.h>
#include <signal.h>

enum { threads = 3, alternate_size = 64 << 10 };

static __thread sigjmp_buf before;
static __thread char* alternate;

static void jump_out(int number) {
  char local;
  (void)number;
  CHECK(&local >= alternate && &local < alternate + alternate_size);
  siglongjmp(before, 1);
}

static volatile long no_end = -1;

__attribute__((noinline)) static long endless(long number) {
  volatile char frame[512];
  frame[number % 512] = (char)number;
  long below = number == no_end ? 0 : endless(number + 1);
  return below + frame[0];
}

static void* overflow_and_survive(void* argument) {
  alternate = (char*)malloc(alternate_size);
  CHECK(alternate != NULL);
  stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = alternate_size};
  CHECK(sigaltstack(&stack, NULL) == 0);
  volatile intptr_t survived = 0;
  for (volatile int round = 0; round < 3; ++round) {
    if (sigsetjmp(before, 1) == 0) {
      endless((intptr_t)argument);
    } else {
      ++survived;
    }
    nap(2);
  }
  stack.ss_flags = SS_DISABLE;
  CHECK(sigaltstack(&stack, NULL) == 0);
  free(alternate);
  return number_pointer(survived);
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = jump_out;
  action.sa_flags = SA_ONSTACK;
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(overflow_and_survive, NULL);
  for (int i = 0; i < threads; ++i) SAY("survived %d", (int)(intptr_t)join_thread(thread[i]));
  return 0;
}
