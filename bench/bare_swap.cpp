// The bound of a switch: the callee-saved registers, MXCSR, the x87 control word and the FS base, as the
// System V ABI asks of a function call and glibc of a thread.
#include "bare_swap.h"

#include <sys/auxv.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" void bare_swap(void** save, void* load, uintptr_t fs_base);
__asm__(
    ".pushsection .text\n"
    ".type bare_swap, @function\n"
    "bare_swap:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "sub $8, %rsp\nstmxcsr (%rsp)\nfnstcw 4(%rsp)\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\nwrfsbase %rdx\n"
    "ldmxcsr (%rsp)\nfldcw 4(%rsp)\nadd $8, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\n"
    "pop %rcx\njmp *%rcx\n"
    ".size bare_swap, . - bare_swap\n"
    ".popsection\n");

namespace {

constexpr uint64_t kControlWords = 0x037f00001f80;  // x87's above MXCSR's, as at process start
constexpr unsigned long kHasWriteFsBase = 2;        // AT_HWCAP2, HWCAP2_FSGSBASE

// What bare_swap pops, from low addresses to high.
struct Frame {
  uint64_t control_words;
  uint64_t registers[6];
  void (*resume_at)();
  uint64_t return_address;  // so that the stack is aligned as after a call
};

void *g_here, *g_there;
uintptr_t g_fs_base;

void other_side() {
  for (;;) bare_swap(&g_there, g_here, g_fs_base);
}

}  // namespace

void run_bare_swaps(long swaps) {
  if ((getauxval(AT_HWCAP2) & kHasWriteFsBase) == 0) {
    fprintf(stderr, "micro: this kernel does not allow wrfsbase\n");
    exit(1);
  }
  __asm__("mov %%fs:0x10, %0" : "=r"(g_fs_base));
  alignas(16) static char stack[65536];
  auto* frame = reinterpret_cast<Frame*>(stack + sizeof(stack) - sizeof(Frame));
  *frame = Frame{kControlWords, {}, other_side, 0};
  g_there = frame;
  for (long i = 0; i < swaps / 2; ++i) bare_swap(&g_here, g_there, g_fs_base);
}
