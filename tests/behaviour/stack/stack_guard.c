// pthread_attr_setguardsize(3): below the stack of the size asked for lies a guard; a write into it is a
// SIGSEGV with that address, and it spares what is below.
#include "check.h"

#include <setjmp.h>
#include <signal.h>

static __thread sigjmp_buf before;
static __thread char alternate[32 << 10];
static char* volatile target;

static void jump_out(int number, siginfo_t* information, void* context) {
  (void)number;
  (void)context;
  CHECK(information->si_addr == target);
  siglongjmp(before, 1);
}

static void* touch_guard(void* argument) {
  stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  CHECK(sigaltstack(&stack, NULL) == 0);
  pthread_attr_t attributes;
  void* bottom;
  size_t size;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstack(&attributes, &bottom, &size) == 0);
  target = (char*)bottom - 1;
  if (sigsetjmp(before, 1) == 0) {
    *target = 1;
    CHECK(0 && "the guard let a write through");
  }
  target = (char*)bottom - (16 << 10);
  if (sigsetjmp(before, 1) == 0) {
    *target = 1;
    CHECK(0 && "the guard is smaller than asked for");
  }
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = jump_out;
  action.sa_flags = SA_ONSTACK | SA_SIGINFO;
  CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, 256 << 10) == 0);
  CHECK(pthread_attr_setguardsize(&attributes, 16 << 10) == 0);
  CHECK(pthread_create(&thread, &attributes, touch_guard, NULL) == 0);
  join_thread(thread);
  SAY("guarded");
  return 0;
}
