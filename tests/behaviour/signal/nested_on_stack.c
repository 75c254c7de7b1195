// Handlers with SA_ONSTACK that interrupt one another, with an alternate stack of the thread's and without:
// each one's frame survives the next; also after handlers were left by a jump.
#include "check.h"

#include <setjmp.h>
#include <signal.h>

enum { kDepth = 12, kRounds = 300 };

static __thread volatile int depth, deepest, jump_at;
static __thread sigjmp_buf back;

static void handle(int number, siginfo_t* info, void* context) {
  char pad[768];
  memset(pad, number + depth, sizeof pad);
  int mine = ++depth;
  if (mine > deepest) deepest = mine;
  if (mine == jump_at) siglongjmp(back, 1);
  if (mine < kDepth) CHECK(pthread_kill(pthread_self(), number == SIGUSR1 ? SIGUSR2 : SIGUSR1) == 0);
  CHECK(depth == mine);
  --depth;
  for (size_t i = 0; i < sizeof pad; ++i) CHECK(pad[i] == number + depth);
  CHECK(info->si_signo == number && context != NULL);
}

static void round_of(int jump) {
  volatile long kept = 0x1234567;
  depth = deepest = 0;
  jump_at = jump;
  if (sigsetjmp(back, 1) == 0) CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
  CHECK(deepest == (jump_at != 0 ? jump_at : kDepth) && kept == 0x1234567);
}

static void rounds(void) {
  for (int i = 0; i < kRounds; ++i) round_of(i % 3 == 2 ? i % kDepth + 1 : 0);
}

static void* run(void* with_stack) {
  if (with_stack != NULL) {
    stack_t stack = {.ss_sp = malloc(256 * 1024), .ss_size = 256 * 1024};
    CHECK(stack.ss_sp != NULL && sigaltstack(&stack, NULL) == 0);
    rounds();
    stack_t off = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&off, &stack) == 0);
    free(stack.ss_sp);
  } else {
    rounds();
  }
  return NULL;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) threads[i] = start_thread(run, i % 2 == 0 ? NULL : &action);
  for (int i = 0; i < 4; ++i) join_thread(threads[i]);
  SAY("nested %d deep", kDepth);
  return 0;
}
