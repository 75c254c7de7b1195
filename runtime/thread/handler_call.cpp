// Calling a handler of the program's as natively: on the stack and with the mask that sigaction(2) promises.
//
// The kernel starts the trampoline (runtime/thread/signals.cpp) with everything blocked, so that what it
// decides is decided in one piece; the mask of the handler is set here, as the last thing before it. A
// handler with SA_ONSTACK arrives on the worker's alternate stack, which is no coroutine's: it is called on
// the coroutine's own one, or below the interrupted frame. The kernel's frame stays behind on the worker's,
// to be returned to; the next signal's is put below it.
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
  bool narrow;  // the worker's alternate stack to `rest_of_alternate`
  stack_t rest_of_alternate;
};

bool contains(const stack_t& stack, uintptr_t address) {
  auto low = reinterpret_cast<uintptr_t>(stack.ss_sp);
  return address >= low && address < low + stack.ss_size;
}

void call_handler(void* call_pointer, void* context, void*) {
  auto* call = static_cast<HandlerCall*>(call_pointer);
  const bool restart = (call->action.flags & SA_RESTART) != 0;
  ++t_local.handler_depth;
  if (call->narrow) sys::call(SYS_sigaltstack, &call->rest_of_alternate, nullptr);
  t_local.critical = t_local.critical - 1;  // what is deferred comes by the mask, not by leave_critical
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, &call->mask, nullptr, sizeof(call->mask));
  if ((call->action.flags & SA_SIGINFO) != 0) {
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(call->action.handler)(call->signal, call->info,
                                                                             context);
  } else {
    reinterpret_cast<void (*)(int)>(call->action.handler)(call->signal);
  }
  ThreadLocal& local = t_local;
  if (local.handler_depth > 0) --local.handler_depth;
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

// The stack to call on, or null.
void* choose_stack(HandlerCall* call, ucontext_t* context) {
  Worker* worker = t_local.worker;
  if (t_local.coroutine == nullptr || worker == nullptr || worker->alternate_stack.ss_sp == nullptr) {
    return nullptr;
  }
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const bool on_workers = contains(worker->alternate_stack, here);
  // A handler may have been left by a jump: what it had narrowed becomes whole again, by rt_sigreturn(2).
  if (t_local.handler_depth == 0) context->uc_stack = worker->alternate_stack;
  const bool on_alternate = (call->action.flags & SA_ONSTACK) != 0 || is_fault_signal(call->signal);
  if (!on_alternate) return nullptr;
  void* stack = stack_for_handler(call->action, static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RSP]),
                                  on_workers);
  call->narrow = stack != nullptr && on_workers;
  if (call->narrow) call->rest_of_alternate = rest_below(worker->alternate_stack, here);
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

void run_handler(const KernelAction& action, int signal, siginfo_t* info, ucontext_t* context) {
  t_local.critical = t_local.critical + 1;
  if ((action.flags & SA_RESETHAND) != 0) {
    SpinGuard guard(g_signal_lock);
    g_actions[signal] = KernelAction{};
    if (!is_fault_signal(signal)) set_default_action(signal);
  }
  const sys::KernelSignalSet mask = *mask_of(context);
  HandlerCall call{action, signal, info, mask_in_handler(action, signal, mask), false, {}};
  void* stack = choose_stack(&call, context);
  if (stack != nullptr) {
    coshim_call_on_stack(stack, &call_handler, &call, context, nullptr);
  } else {
    call_handler(&call, context, nullptr);
  }
  follow_changed_mask(mask, context);
}

}  // namespace coshim
