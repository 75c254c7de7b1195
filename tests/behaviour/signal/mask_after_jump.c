// siglongjmp(3), setcontext(3) and swapcontext(3) set the signal mask, also outside of handlers: what it
// blocks waits, what it lets through comes at once, and it is the thread's own after the next wait too.
#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

enum { kRounds = 50, kThreads = 3, kStack = 64 << 10 };

static __thread volatile int handled;

static void handle(int number) {
  (void)number;
  handled = handled + 1;
}

static void change(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static void expect_blocked(int blocked) {
  for (int i = 0; i < 2; ++i) {
    sigset_t now;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &now) == 0);
    CHECK(sigismember(&now, SIGUSR1) == blocked);
    int before = handled;
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
    CHECK(handled == before + !blocked);
    if (blocked) {  // take it
      sigset_t set;
      int number;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      CHECK(sigwait(&set, &number) == 0 && number == SIGUSR1);
    }
    nap(1);
  }
}

static void by_jump(int blocked) {
  sigjmp_buf back;
  change(blocked ? SIG_BLOCK : SIG_UNBLOCK);
  if (sigsetjmp(back, 1) == 0) {
    change(blocked ? SIG_UNBLOCK : SIG_BLOCK);
    siglongjmp(back, 1);
  }
  expect_blocked(blocked);
}

// Sent while blocked: its handler runs before the jump is over.
static void pending_at_jump(void) {
  sigjmp_buf back;
  volatile int before = handled;
  change(SIG_UNBLOCK);
  if (sigsetjmp(back, 1) == 0) {
    change(SIG_BLOCK);
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
    CHECK(handled == before);
    siglongjmp(back, 1);
  }
  CHECK(handled == before + 1);
}

static void without_mask(void) {
  jmp_buf back;
  change(SIG_UNBLOCK);
  if (setjmp(back) == 0) {
    change(SIG_BLOCK);
    longjmp(back, 1);
  }
  expect_blocked(1);
  change(SIG_UNBLOCK);
}

static void by_context(int blocked) {
  ucontext_t here;
  volatile int again = 0;
  change(blocked ? SIG_BLOCK : SIG_UNBLOCK);
  CHECK(getcontext(&here) == 0);
  if (!again) {
    again = 1;
    change(blocked ? SIG_UNBLOCK : SIG_BLOCK);
    CHECK(setcontext(&here) == 0);
  }
  expect_blocked(blocked);
}

static __thread ucontext_t outside, inside;

static void run_inside(void) {
  for (;;) {
    expect_blocked(1);
    CHECK(swapcontext(&inside, &outside) == 0);
  }
}

static void by_swap(void) {
  char* stack = malloc(kStack);
  change(SIG_BLOCK);
  CHECK(stack != NULL && getcontext(&inside) == 0);
  change(SIG_UNBLOCK);
  inside.uc_stack.ss_sp = stack;
  inside.uc_stack.ss_size = kStack;
  makecontext(&inside, run_inside, 0);
  for (int i = 0; i < 4; ++i) {
    CHECK(swapcontext(&outside, &inside) == 0);
    expect_blocked(0);
  }
  free(stack);
}

static void* run(void* unused) {
  for (int i = 0; i < kRounds; ++i) {
    by_jump(i % 2);
    pending_at_jump();
    without_mask();
    by_context(i % 2);
    change(SIG_UNBLOCK);
    if (i % 8 == 0) by_swap();
  }
  return unused;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) threads[i] = start_thread(run, NULL);
  run(NULL);
  for (int i = 0; i < kThreads; ++i) join_thread(threads[i]);
  SAY("masks of %d rounds", kRounds);
  return 0;
}
