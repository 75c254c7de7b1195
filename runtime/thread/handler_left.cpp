// Handlers that are left otherwise than by returning: by longjmp(3) or setcontext(3), which the hooks
// announce, by an exception or pthread_exit(3), of which the unwinder tells. A jump may also stay inside a
// handler.
#include <unwind.h>

#include <algorithm>

#include "preload/swap/swap.h"
#include "runtime/sched/places.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signal_state.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

// How many of the running handlers have the frame at `stack_pointer` inside.
uint32_t handlers_around(uintptr_t stack_pointer) {
  const Worker* worker = t_local.worker;
  if (t_local.coroutine == nullptr || worker == nullptr) return 0;
  uint32_t depth = std::min<uint32_t>(t_local.handler_depth, kNestedHandlers);
  for (; depth > 0; --depth) {
    const HandlerStack& stack = worker->handler_stacks[depth - 1];
    if (stack.low != 0 && stack_pointer >= stack.low && stack_pointer < stack.start) break;
  }
  return depth;
}

// The wait that the outermost handler had interrupted does not go on.
void abandon_wait() {
  if (Thread* thread = t_local.thread) {
    lot_abandon(thread);
    thread->wait_kind = WaitKind::none;
    thread->interruptible = false;
  }
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) return;
  t_local.worker->blocking_call.store(nullptr, std::memory_order_release);
  self->blocked_at.store(nullptr, std::memory_order_release);
  leave_place(self);
}

void leave_handlers(uint32_t remaining) {
  t_local.handler_depth = remaining;
  ++t_local.handlers_run;
  if (t_local.coroutine != nullptr && t_local.worker->alternate_stack.ss_sp != nullptr) {
    const stack_t alternate = alternate_during(remaining);
    sys::call(SYS_sigaltstack, &alternate, nullptr);
  }
  if (remaining == 0) abandon_wait();
}

}  // namespace

void leave_all_handlers() {
  if (t_local.handler_depth == 0) return;
  leave_handlers(0);
  if (t_local.coroutine == nullptr) return;
  sys::KernelSignalSet mask = 0;
  sys::set_signal_mask(SIG_BLOCK, nullptr, &mask);
  t_local.coroutine->signal_mask = mask;
  t_local.worker->kernel_mask = mask;
}

void about_to_jump(uintptr_t stack_pointer, const sys::KernelSignalSet* mask_after) {
  if (t_local.handler_depth > 0) {
    const uint32_t remaining = handlers_around(stack_pointer);
    if (remaining > 0) {  // its mask is the kernel's alone
      if (remaining < t_local.handler_depth) leave_handlers(remaining);
      return;
    }
    if (mask_after == nullptr) return leave_all_handlers();
    leave_handlers(0);
  }
  if (mask_after != nullptr && t_local.coroutine != nullptr) expect_mask(*mask_after);
}

extern "C" int coshim_left_by_unwinding(int, int actions, uint64_t, void*, void*) {
  const bool leaves = (actions & _UA_CLEANUP_PHASE) != 0;
  if (leaves && t_local.handler_depth > 1) {
    leave_handlers(t_local.handler_depth - 1);
  } else if (leaves) {
    leave_all_handlers();
  }
  return _URC_CONTINUE_UNWIND;
}

}  // namespace coshim
