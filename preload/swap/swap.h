// The context switch: the one page that cannot be C++. Depends on nothing. x86-64: swap_x86_64.S.
#pragma once

#include <stdint.h>

extern "C" {

// Saves the callee-saved registers, MXCSR and x87 control word on the running stack, stores its stack pointer
// to *save, then continues on `load` (a value stored by an earlier swap or made by coshim_swap_prepare) with
// FS base `fs_base`. Returns when something swaps back to *save. System V AMD64 ABI 3.2.1: everything else is
// the caller's to save.
void coshim_swap(void** save, void* load, uintptr_t fs_base);
// The same for processors or kernels without user-mode wrfsbase (AT_HWCAP2 bit 1): arch_prctl(ARCH_SET_FS).
void coshim_swap_by_system_call(void** save, void* load, uintptr_t fs_base);

// What to go on with, as the two registers in which such a struct is returned (ABI 3.2.3).
struct coshim_swap_target {
  void* load;
  uintptr_t fs_base;
};
// As coshim_swap, but first calls exchange(argument) on the stack that ends at `through` (16-byte aligned),
// when the running stack has been saved and *save is stored: it may copy stacks, also those two. Then
// continues with what exchange returned.
void coshim_swap_through(void** save, void* through, struct coshim_swap_target (*exchange)(void*),
                         void* argument);
void coshim_swap_through_by_system_call(void** save, void* through,
                                        struct coshim_swap_target (*exchange)(void*), void* argument);

// Where the first swap to a new stack arrives; calls entry(argument) and never returns. Ends every backtrace.
void coshim_swap_start(void);

// Calls function(a, b, c) on the stack that ends at `stack_top` (null: on this one), then returns on the old
// one. When an exception or pthread_exit(3) unwinds through it instead, coshim_left_by_unwinding is called,
// as its personality routine (Itanium C++ ABI: Exception Handling, 1.6.2).
void coshim_call_on_stack(void* stack_top, void (*function)(void*, void*, void*), void* a, void* b, void* c);
int coshim_left_by_unwinding(int version, int actions, uint64_t exception_class, void* exception,
                             void* context);
}

namespace coshim {

// What coshim_swap leaves on a stack, from the stored stack pointer upwards.
struct SwapFrame {
  uint32_t mxcsr;
  uint32_t x87_control;  // low 16 bits
  uint64_t r15, r14, r13, r12, rbx, rbp;
  uint64_t rip;
};

// Lays the first frame on a fresh stack; returns what to swap to. `stack_top` is 16-byte aligned.
inline void* swap_prepare(void* stack_top, void (*entry)(void*), void* argument) {
  auto* frame = reinterpret_cast<SwapFrame*>(static_cast<char*>(stack_top) - sizeof(SwapFrame) - 16);
  *frame = SwapFrame{};
  frame->mxcsr = 0x1f80;  // the ABI's initial values: all exceptions masked, round to nearest
  frame->x87_control = 0x037f;
  frame->r12 = reinterpret_cast<uint64_t>(entry);
  frame->r13 = reinterpret_cast<uint64_t>(argument);
  frame->rip = reinterpret_cast<uint64_t>(&coshim_swap_start);
  return frame;
}

using SwapFunction = void (*)(void** save, void* load, uintptr_t fs_base);
// coshim_swap or coshim_swap_by_system_call, as the machine allows (choose_swap at start-up, from AT_HWCAP2).
extern SwapFunction g_swap;
using SwapThroughFunction = decltype(&coshim_swap_through);
extern SwapThroughFunction g_swap_through;
void choose_swap();

}  // namespace coshim
