// The registers from which a stack can be walked.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace coshim {

// System V AMD64: what a caller's frame may need. An rbp of 0 may also mean that it is not known.
struct UnwindStart {
  uintptr_t rip = 0, rsp = 0, rbp = 0, rbx = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  bool interrupted = false;    // rip is an instruction that was interrupted, not a return address
  bool pointers_only = false;  // only rip and rsp are known
};

// Those of the function that it is inlined into, which must stay in its frame while they are used.
__attribute__((always_inline)) inline void here(UnwindStart* start) {
  __asm__ volatile(
      "leaq 1f(%%rip), %%rax\n1:\n\t"
      "movq %%rax, %c[rip](%[start])\n\t"
      "movq %%rsp, %c[rsp](%[start])\n\t"
      "movq %%rbp, %c[rbp](%[start])\n\t"
      "movq %%rbx, %c[rbx](%[start])\n\t"
      "movq %%r12, %c[r12](%[start])\n\t"
      "movq %%r13, %c[r13](%[start])\n\t"
      "movq %%r14, %c[r14](%[start])\n\t"
      "movq %%r15, %c[r15](%[start])"
      :
      : [start] "D"(start), [rip] "i"(offsetof(UnwindStart, rip)), [rsp] "i"(offsetof(UnwindStart, rsp)),
        [rbp] "i"(offsetof(UnwindStart, rbp)), [rbx] "i"(offsetof(UnwindStart, rbx)),
        [r12] "i"(offsetof(UnwindStart, r12)), [r13] "i"(offsetof(UnwindStart, r13)),
        [r14] "i"(offsetof(UnwindStart, r14)), [r15] "i"(offsetof(UnwindStart, r15))
      : "rax", "memory");
  start->interrupted = true;
}

}  // namespace coshim
