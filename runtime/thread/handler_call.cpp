// Calling a handler of the program's as natively: on the stack and with the mask that sigaction(2) promises.
//
// The kernel starts the trampoline (runtime/thread/signals.cpp) with everything blocked, so that what it
// decides is decided in one piece; the mask of the handler is set here, as the last thing before it. A
// handler with SA_ONSTACK arrives on the worker's alternate stack, which is no coroutine's: it is called on
// the coroutine's own one, or below the interrupted frame. The kernel's frame stays behind on the worker's,
// to be returned to; the next signal's is put below it.
#include <algorithm>

#include "preload/swap/swap.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signal_state.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

constexpr size_t kRedZone = 128;                     // System V AMD64 ABI 3.2.2
constexpr size_t kOurFrames = 4096;                  // the trampoline's, below the kernel's
constexpr size_t kWorkingStack = size_t{24} * 1024;  // a kernel frame with AVX-512, and an overflow's report

struct HandlerCall {
  KernelAction action;
  int signal;
  siginfo_t* info;
  sys::KernelSignalSet mask;
  HandlerStack where;
};

bool contains(const stack_t& stack, uintptr_t address) {
  auto low = reinterpret_cast<uintptr_t>(stack.ss_sp);
  return address >= low && address < low + stack.ss_size;
}

void note_handler_stack(uint32_t depth, const HandlerStack& where) {
  Worker* worker = t_local.worker;
  if (t_local.coroutine == nullptr || worker == nullptr || worker->alternate_stack.ss_sp == nullptr) return;
  stack_t now = alternate_during(depth);
  worker->handler_stacks[std::min<uint32_t>(depth, kNestedHandlers - 1)] = where;
  if (where.alternate.ss_sp != now.ss_sp || where.alternate.ss_size != now.ss_size) {
    sys::call(SYS_sigaltstack, &where.alternate, nullptr);
  }
}

void call_handler(void* call_pointer, void* context, void*) {
  auto* call = static_cast<HandlerCall*>(call_pointer);
  const bool restart = (call->action.flags & SA_RESTART) != 0;
  const uint32_t outer = t_local.handler_depth;
  t_local.handler_depth = outer + 1;
  note_handler_stack(outer, call->where);
  t_local.critical = t_local.critical - 1;  // what is deferred comes by the mask, not by leave_critical
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, &call->mask, nullptr, sizeof(call->mask));
  if ((call->action.flags & SA_SIGINFO) != 0) {
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(call->action.handler)(call->signal, call->info,
                                                                             context);
  } else {
    reinterpret_cast<void (*)(int)>(call->action.handler)(call->signal);
  }
  ThreadLocal& local = t_local;
  local.handler_depth = outer;
  ++local.handlers_run;
  if (!restart) local.no_restart = true;
  // Between a wait's beginning and its park: it must not park any more.
  if (local.coroutine != nullptr && local.handler_depth == 0 && local.coroutine->interruptible) {
    local.coroutine->interrupts.fetch_or(kInterruptSignal, std::memory_order_acq_rel);
    unpark(local.coroutine);
  }
  // What was sent to this coroutine meanwhile.
  if (local.coroutine != nullptr && local.coroutine->pending_signals.load(std::memory_order_relaxed) != 0) {
    local.signals_deferred = true;
  }
}

// Where a handler of the running coroutine must stand: its own alternate stack, or its stack below the
// interrupted frame. Null: where the kernel put us.
void* stack_for_handler(const KernelAction& action, uintptr_t interrupted, bool on_workers) {
  const stack_t& alternate = t_local.coroutine->alternate_stack;
  if ((action.flags & SA_ONSTACK) != 0 && (alternate.ss_flags & SS_DISABLE) == 0 &&
      alternate.ss_sp != nullptr && !contains(alternate, interrupted)) {
    return static_cast<char*>(alternate.ss_sp) + alternate.ss_size;
  }
  return on_workers ? reinterpret_cast<void*>(interrupted - kRedZone) : nullptr;
}

// Where the stack begins that `address` is on; 0: it is none of the coroutine's two.
uintptr_t low_of_stack(const Coroutine* self, uintptr_t address) {
  if (contains(self->alternate_stack, address))
    return reinterpret_cast<uintptr_t>(self->alternate_stack.ss_sp);
  const auto low = reinterpret_cast<uintptr_t>(self->stack_low);
  return address >= low && address < low + self->stack_size ? low : 0;
}

// What of the worker's alternate stack is left below the frames that a handler on another stack leaves there.
stack_t rest_below(const stack_t& whole, uintptr_t here) {
  stack_t rest{};
  const size_t size = (here - reinterpret_cast<uintptr_t>(whole.ss_sp) - kOurFrames) & ~size_t{63};
  rest.ss_flags = SS_DISABLE;  // then the kernel goes on where the handler stands
  if (here - reinterpret_cast<uintptr_t>(whole.ss_sp) < kOurFrames + kWorkingStack) return rest;
  rest.ss_flags = 0;
  rest.ss_sp = whole.ss_sp;
  rest.ss_size = size;
  return rest;
}

// The stack to call on; null: the one that the kernel has put us on.
void* choose_stack(HandlerCall* call, uintptr_t interrupted) {
  Coroutine* self = t_local.coroutine;
  Worker* worker = t_local.worker;
  if (self == nullptr || worker == nullptr || worker->alternate_stack.ss_sp == nullptr) return nullptr;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const bool on_workers = contains(worker->alternate_stack, here);
  void* stack = nullptr;
  if ((call->action.flags & SA_ONSTACK) != 0 || is_fault_signal(call->signal)) {
    stack = stack_for_handler(call->action, interrupted, on_workers);
  }
  call->where.start = stack != nullptr ? reinterpret_cast<uintptr_t>(stack) : here;
  call->where.low = low_of_stack(self, call->where.start - 1);
  call->where.alternate = stack != nullptr && on_workers ? rest_below(worker->alternate_stack, here)
                                                         : alternate_during(t_local.handler_depth);
  return stack;
}

// As the handler is to find it in its context, and as rt_sigreturn(2) is to restore it.
stack_t program_alternate_stack(uintptr_t interrupted) {
  stack_t stack = t_local.coroutine->alternate_stack;
  if (stack.ss_sp == nullptr) stack.ss_flags = SS_DISABLE;
  if (contains(stack, interrupted)) stack.ss_flags = SS_ONSTACK;
  return stack;
}

// sigaction(2): sa_mask, and the signal itself, beside what was blocked. Not what the kernel must never
// block, but it does not let a fault interrupt its own handler either.
sys::KernelSignalSet mask_in_handler(const KernelAction& action, int signal, sys::KernelSignalSet before) {
  sys::KernelSignalSet mask = before | (action.mask & ~sys::g_never_blocked);
  return (action.flags & SA_NODEFER) != 0 ? mask : mask | sys::signal_bit(signal);
}

// A handler may change the mask that holds after it (sigaction(2), uc_sigmask).
void follow_changed_mask(sys::KernelSignalSet before, ucontext_t* context) {
  sys::KernelSignalSet mask = *mask_of(context);
  Coroutine* self = t_local.coroutine;
  if (mask == before || self == nullptr || t_local.handler_depth > 0) return;
  self->signal_mask = mask & sys::kAllSignals;
  t_local.worker->kernel_mask = mask;
}

}  // namespace

stack_t alternate_during(uint32_t handlers) {
  if (handlers == 0) return t_local.worker->alternate_stack;
  return t_local.worker->handler_stacks[std::min<uint32_t>(handlers, kNestedHandlers) - 1].alternate;
}

void run_handler(const KernelAction& action, int signal, siginfo_t* info, ucontext_t* context) {
  t_local.critical = t_local.critical + 1;
  if ((action.flags & SA_RESETHAND) != 0) {
    SpinGuard guard(g_signal_lock);
    g_actions[signal] = KernelAction{};
    if (!is_fault_signal(signal)) set_default_action(signal);
  }
  const sys::KernelSignalSet mask = *mask_of(context);
  const auto interrupted = static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RSP]);
  HandlerCall call{action, signal, info, mask_in_handler(action, signal, mask), {}};
  void* stack = choose_stack(&call, interrupted);
  const bool on_worker = t_local.coroutine != nullptr && t_local.worker->alternate_stack.ss_sp != nullptr;
  if (on_worker) context->uc_stack = program_alternate_stack(interrupted);
  coshim_call_on_stack(stack, &call_handler, &call, context, nullptr);
  if (on_worker && t_local.coroutine != nullptr) context->uc_stack = alternate_during(t_local.handler_depth);
  follow_changed_mask(mask, context);
}

}  // namespace coshim
