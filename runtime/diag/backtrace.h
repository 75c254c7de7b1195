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

// Where a walk begins.
struct WalkStart {
  Frame frame;
  bool interrupted;  // not a return address, but an instruction that was interrupted
};
WalkStart start_of(const UnwindStart& where);
// All registers of a signal's ucontext: interrupted code may have its frame's address anywhere.
WalkStart start_of_context(const void* ucontext);

class Unwinder {
 public:
  explicit Unwinder(Modules* modules);
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;
  // Fills `frames` with return addresses, innermost first; returns their number.
  size_t walk(const WalkStart& start, StackReader* stack, uintptr_t* frames, size_t capacity);
  // A parked or runnable coroutine, from what the switch left; whatever the stack mode.
  size_t walk_parked(const Coroutine* coroutine, uintptr_t* frames, size_t capacity);
  // One that waits for its turn on its shared stack, from where it was interrupted
  // (runtime/sched/freeze.cpp).
  size_t walk_frozen(const Coroutine* coroutine, uintptr_t* frames, size_t capacity);
  // *frame becomes its caller's; *interrupted says whether it was interrupted, not calling. False: the end.
  bool step(StackReader* stack, Frame* frame, bool* interrupted);

 private:
  const FrameRules* rules_for(uintptr_t address);
  size_t walk_unguarded(const WalkStart& start, StackReader* stack, uintptr_t* frames, size_t capacity,
                        volatile size_t* reached);
  void walk_parked_unguarded(const Coroutine* coroutine, uintptr_t* frames, size_t capacity,
                             volatile size_t* reached);
  template <typename Walk>
  size_t guarded(Walk&& walk);

  static constexpr size_t kCached = 1024;  // the same few functions, over and over
  Modules* modules_;
  FrameRules* cache_;
  FrameRules uncached_;
};

// Non-null while this kernel thread reads what may not be there (a module that is being closed, a saved stack
// that is released): the fault handler (runtime/thread/signals.cpp) then jumps to it (__builtin_longjmp).
extern __thread void** t_fault_recovery __attribute__((tls_model("initial-exec")));

}  // namespace coshim
