// What the Go runtime does with its threads, in a program that carries Go's build note as all of its programs
// do: system calls of its own, a signal stack for each kernel thread, signals to kernel threads by their tid.
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

__asm__(
    ".pushsection .note.go.buildid,\"a\",@note\n"
    ".p2align 2\n.long 4, 4, 4\n.asciz \"Go\\0\"\n.long 1\n.popsection\n");

enum { kThreads = 8, kRounds = 20, kStack = 65536, kOnStack = 0x08000000, kRestorer = 0x04000000 };

struct kernel_action {
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;
};

static char stacks[kThreads][kStack];
static _Thread_local char* own_stack;
static atomic_int on_own_stack, elsewhere;

static long raw(long number, long a, long b, long c, long d) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

__attribute__((naked)) static void give_back(void) {
  __asm__("mov $15, %eax\nsyscall");  // rt_sigreturn
}

static void on_signal(int number) {
  char here;
  (void)number;
  if (&here >= own_stack && &here < own_stack + kStack) {
    atomic_fetch_add(&on_own_stack, 1);
  } else {
    atomic_fetch_add(&elsewhere, 1);
  }
}

static void* run(void* argument) {
  own_stack = argument;
  stack_t stack = {.ss_sp = own_stack, .ss_size = kStack};
  CHECK(raw(SYS_sigaltstack, (long)&stack, 0, 0, 0) == 0);
  for (int i = 0; i < kRounds; ++i) {
    struct timespec moment = {.tv_nsec = 200000};
    nanosleep(&moment, NULL);
    CHECK(raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0), SIGURG, 0) == 0);
  }
  return NULL;
}

int main(void) {
  struct kernel_action action = {(void*)on_signal, kOnStack | kRestorer, (void*)give_back, 0};
  CHECK(raw(SYS_rt_sigaction, SIGURG, (long)&action, 0, 8) == 0);
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_create(&threads[i], NULL, run, stacks[i]) == 0);
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(atomic_load(&on_own_stack) == kThreads * kRounds);
  CHECK(atomic_load(&elsewhere) == 0);
  return 0;
}
