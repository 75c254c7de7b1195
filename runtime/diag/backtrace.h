// Walking a stack that is not ours, from saved registers, with libunwind. The walk may meet garbage, since
// the coroutine may go on meanwhile: a fault in it ends the walk (runtime/thread/signals.cpp knows
// t_fault_recovery).
#pragma once

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

namespace coshim {

// System V AMD64: what an unwinder needs to start.
struct UnwindStart {
  uintptr_t rip = 0, rsp = 0, rbp = 0, rbx = 0, r12 = 0, r13 = 0, r14 = 0, r15 = 0;
  bool interrupted = false;  // rip is an instruction that was interrupted, not a return address
};

// Fills `frames` with return addresses, innermost first; returns their number. Takes the loader's lock for a
// moment.
size_t walk_stack(const UnwindStart& start, uintptr_t* frames, size_t capacity);

// The registers that coshim_swap left at `stack_pointer`.
UnwindStart start_of_parked(const void* stack_pointer);
// Those of a signal's ucontext.
UnwindStart start_of_context(const void* ucontext);

// Non-null while this kernel thread reads memory that may not be there.
extern thread_local jmp_buf* t_fault_recovery __attribute__((tls_model("initial-exec")));

}  // namespace coshim
