// Walking a stack that is not ours, from saved registers, by the call frame information of the loaded
// modules. The walk may meet garbage, since the coroutine may go on meanwhile: then it ends early.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/diag/call_frame.h"
#include "runtime/diag/modules.h"
#include "runtime/diag/stack_reader.h"
#include "runtime/thread/unwind_start.h"

namespace coshim {

class Unwinder {
 public:
  explicit Unwinder(Modules* modules);
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;
  // Fills `frames` with return addresses, innermost first; returns their number.
  size_t walk(const UnwindStart& start, StackReader* stack, uintptr_t* frames, size_t capacity);
  // A parked or runnable coroutine, from what the switch left; whatever the stack mode.
  size_t walk_parked(const Coroutine* coroutine, uintptr_t* frames, size_t capacity);
  // One that waits for its turn on its shared stack, from where it was interrupted
  // (runtime/sched/freeze.cpp).
  size_t walk_frozen(const Coroutine* coroutine, uintptr_t* frames, size_t capacity);

 private:
  const FrameRules* rules_for(uintptr_t address);
  size_t walk_unguarded(const UnwindStart& start, StackReader* stack, uintptr_t* frames, size_t capacity,
                        volatile size_t* reached);
  void walk_parked_unguarded(const Coroutine* coroutine, uintptr_t* frames, size_t capacity,
                             volatile size_t* reached);
  template <typename Walk>
  size_t guarded(Walk&& walk);
  bool step(StackReader* stack, Frame* frame, bool* interrupted);

  static constexpr size_t kCached = 1024;  // the same few functions, over and over
  Modules* modules_;
  FrameRules* cache_;
  FrameRules uncached_;
};

// The registers of a signal's ucontext.
UnwindStart start_of_context(const void* ucontext);

// Non-null while this kernel thread reads what may not be there (a module that is being closed, a saved stack
// that is released): the fault handler (runtime/thread/signals.cpp) then jumps to it (__builtin_longjmp).
extern __thread void** t_fault_recovery __attribute__((tls_model("initial-exec")));

}  // namespace coshim
