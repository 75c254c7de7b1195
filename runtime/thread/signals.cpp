#include "runtime/thread/signals.h"

#include <errno.h>
#include <string.h>
#include <ucontext.h>

#include "preload/swap/swap.h"
#include "runtime/base/log.h"
#include "runtime/diag/backtrace.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/critical.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

constexpr int kSignals = 64;
constexpr unsigned long kSaRestorer = 0x04000000;
constexpr size_t kRedZone = 128;  // System V AMD64 ABI 3.2.2

SpinLock g_lock;  // guards g_actions; taken only inside critical sections
KernelAction g_actions[kSignals + 1];
std::atomic<bool> g_started{false};
void* g_restorer;

bool is_handler(const KernelAction& action) {
  return action.handler != reinterpret_cast<void*>(SIG_DFL) && action.handler != reinterpret_cast<void*>(SIG_IGN);
}
bool is_fault_signal(int signal) { return signal == SIGSEGV || signal == SIGBUS; }
bool is_synchronous(int signal, const siginfo_t* info) {
  bool kind = is_fault_signal(signal) || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP || signal == SIGSYS;
  return kind && info->si_code > 0;
}

long kernel_action(int signal, const KernelAction* action, KernelAction* old) {
  return sys::call(SYS_rt_sigaction, signal, action, old, sizeof(sys::KernelSignalSet));
}

KernelAction action_of(int signal) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  return g_actions[signal];
}

void set_default(int signal) {
  KernelAction action{};
  action.flags = kSaRestorer;
  action.restorer = g_restorer;
  kernel_action(signal, &action, nullptr);
}

// The interrupted code is inside the runtime: block the signal for this kernel thread and queue it again; it comes when the
// mask is restored (leave_critical, or the next switch).
void put_off(int signal, siginfo_t* info, ucontext_t* context) {
  auto* mask = reinterpret_cast<sys::KernelSignalSet*>(&context->uc_sigmask);
  if (t_local.worker != nullptr) {
    t_local.worker->kernel_mask = *mask | sys::signal_bit(signal);
  } else if (!t_local.signals_deferred) {
    t_local.deferred_mask = *mask;
  }
  t_local.signals_deferred = true;
  *mask |= sys::signal_bit(signal);
  sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal, info);
}

struct HandlerCall {
  KernelAction action;
  int signal;
  siginfo_t* info;
};

void call_handler(void* call_pointer, void* context, void*) {
  auto* call = static_cast<HandlerCall*>(call_pointer);
  ThreadLocal& local = t_local;
  ++local.handler_depth;
  if ((call->action.flags & SA_SIGINFO) != 0) {
    reinterpret_cast<void (*)(int, siginfo_t*, void*)>(call->action.handler)(call->signal, call->info, context);
  } else {
    reinterpret_cast<void (*)(int)>(call->action.handler)(call->signal);
  }
  if (t_local.handler_depth > 0) --t_local.handler_depth;
}

bool within(const stack_t& stack, uintptr_t address) {
  auto low = reinterpret_cast<uintptr_t>(stack.ss_sp);
  return address >= low && address < low + stack.ss_size;
}

// Where a handler of the running coroutine must stand: its own alternate stack, or its stack below the interrupted frame.
// Null: where the kernel put us (we are not on the worker's alternate stack).
void* stack_for_handler(const KernelAction& action, uintptr_t interrupted) {
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) return nullptr;
  const stack_t& alternate = self->alternate_stack;
  if ((action.flags & SA_ONSTACK) != 0 && (alternate.ss_flags & SS_DISABLE) == 0 && alternate.ss_sp != nullptr &&
      !within(alternate, interrupted)) {
    return static_cast<char*>(alternate.ss_sp) + alternate.ss_size;
  }
  return reinterpret_cast<void*>(interrupted - kRedZone);
}

void run_handler(const KernelAction& action, int signal, siginfo_t* info, ucontext_t* context) {
  HandlerCall call{action, signal, info};
  if ((action.flags & SA_RESETHAND) != 0) {
    CriticalSection critical;
    SpinGuard guard(g_lock);
    g_actions[signal] = KernelAction{};
    if (!is_fault_signal(signal)) set_default(signal);
  }
  bool on_alternate = (action.flags & SA_ONSTACK) != 0 || is_fault_signal(signal);
  void* stack = on_alternate ? stack_for_handler(action, static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RSP]))
                             : nullptr;
  if (stack != nullptr) {
    coshim_call_on_stack(stack, &call_handler, &call, context, nullptr);
  } else {
    call_handler(&call, context, nullptr);
  }
}

// A fault. The report for a guard hit; then what the program has set, as natively: with no alternate stack of its own, an
// overflow can't run a handler and kills.
void handle_fault(int signal, siginfo_t* info, ucontext_t* context) {
  if (t_fault_recovery != nullptr) {
    jmp_buf* recovery = t_fault_recovery;
    sys::KernelSignalSet faults = sys::signal_bit(SIGSEGV) | sys::signal_bit(SIGBUS);
    sys::set_signal_mask(SIG_UNBLOCK, &faults, nullptr);
    longjmp(*recovery, 1);
  }
  StackSlot* slot = info->si_code > 0 ? find_slot(info->si_addr) : nullptr;
  bool overflow = slot != nullptr && slot->owner != nullptr && in_guard(slot, info->si_addr);
  if (overflow) report_stack_overflow(slot, info->si_addr, context);
  KernelAction action = g_actions[signal];  // a fault inside a critical section must not take the lock
  Coroutine* self = t_local.coroutine;
  bool can_run = is_handler(action) && (t_local.critical == 0 || self == nullptr);
  if (overflow && can_run) {
    can_run = (action.flags & SA_ONSTACK) != 0 && self != nullptr && self->alternate_stack.ss_sp != nullptr &&
              (self->alternate_stack.ss_flags & SS_DISABLE) == 0;
  }
  if (can_run) {
    run_handler(action, signal, info, context);
    return;
  }
  if (info->si_code <= 0 && action.handler == reinterpret_cast<void*>(SIG_IGN)) return;
  set_default(signal);
  // A fault happens again on return; a sent signal must be sent again.
  if (info->si_code <= 0) sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal, info);
}

// A signal sent to one coroutine by pthread_kill travels as a pending bit; the kernel's signal only gets its kernel thread's
// attention, and may find another coroutine there.
bool is_meant_for_us(int signal, const siginfo_t* info) {
  Coroutine* self = t_local.coroutine;
  if (t_local.worker == nullptr || info->si_code != SI_TKILL || info->si_pid != sys::getpid()) return true;
  if (self == nullptr) return false;
  uint64_t bit = sys::signal_bit(signal);
  return (self->pending_signals.fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0;
}

void trampoline(int signal, siginfo_t* info, void* context_pointer) {
  auto* context = static_cast<ucontext_t*>(context_pointer);
  int saved = errno;
  if (is_fault_signal(signal)) {
    handle_fault(signal, info, context);
    errno = saved;
    return;
  }
  if (t_local.critical > 0 && !is_synchronous(signal, info)) {
    put_off(signal, info, context);
    return;
  }
  if (!is_meant_for_us(signal, info)) return;
  KernelAction action = action_of(signal);
  errno = saved;
  if (is_handler(action)) run_handler(action, signal, info, context);
}

void install(int signal, const KernelAction& program) {
  if (!is_handler(program) && !is_fault_signal(signal)) {
    KernelAction plain = program;
    kernel_action(signal, &plain, nullptr);
    return;
  }
  KernelAction ours = program;
  ours.handler = reinterpret_cast<void*>(&trampoline);
  // SA_RESETHAND is ours to apply: a signal that was put off comes a second time.
  ours.flags = (is_handler(program) ? program.flags & ~static_cast<unsigned long>(SA_RESETHAND) : 0) | SA_SIGINFO |
               kSaRestorer;
  if (is_fault_signal(signal)) ours.flags |= SA_ONSTACK | (is_handler(program) ? 0 : SA_RESTART);
  ours.restorer = g_restorer;
  kernel_action(signal, &ours, nullptr);
}

// The return trampoline that the kernel needs, used until a libc-installed action has shown us libc's: rt_sigreturn(2), in the
// very bytes by which unwinders recognise a signal frame (libgcc's linux-unwind.h).
__asm__(
    ".text\n.p2align 4\n.type coshim_signal_return, @function\n"
    "nop\ncoshim_signal_return:\n\t.byte 0x48,0xc7,0xc0,0x0f,0,0,0\n\tsyscall\n.size coshim_signal_return, . - coshim_signal_return\n");
extern "C" void coshim_signal_return() __attribute__((visibility("hidden")));

}  // namespace

void signals_start() {
  g_restorer = reinterpret_cast<void*>(&coshim_signal_return);
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33) continue;
    KernelAction current{};
    if (kernel_action(signal, nullptr, &current) != 0) continue;
    if (current.handler == reinterpret_cast<void*>(&trampoline)) continue;  // the child of a fork
    g_actions[signal] = current;
    if (current.restorer != nullptr) g_restorer = current.restorer;
    if (is_handler(current) || is_fault_signal(signal)) install(signal, current);
  }
  g_started.store(true, std::memory_order_release);
}

void install_own_handler(int signal, void (*handler)(int, siginfo_t*, void*)) {
  KernelAction action{};
  action.handler = reinterpret_cast<void*>(handler);
  action.flags = SA_SIGINFO | SA_RESTART | kSaRestorer;
  action.restorer = g_restorer;
  kernel_action(signal, &action, nullptr);
}

bool signals_started() { return g_started.load(std::memory_order_acquire); }

long program_action(int signal, const KernelAction* action, KernelAction* old) {
  if (signal < 1 || signal > kSignals || signal == 32 || signal == 33) return -EINVAL;
  if (signal == SIGKILL || signal == SIGSTOP) return kernel_action(signal, action, old);
  KernelAction wanted{};
  if (action != nullptr) wanted = *action;  // may fault: before the lock
  KernelAction before;
  {
    CriticalSection critical;
    SpinGuard guard(g_lock);
    before = g_actions[signal];
    if (action != nullptr) {
      g_actions[signal] = wanted;
      install(signal, wanted);
    }
  }
  if (old != nullptr) *old = before;
  return 0;
}

long change_coroutine_mask(int how, const sys::KernelSignalSet* set, sys::KernelSignalSet* old) {
  Coroutine* self = t_local.coroutine;
  sys::KernelSignalSet before = 0, wanted = set != nullptr ? *set & sys::kAllSignals : 0;
  if (t_local.handler_depth > 0) return sys::set_signal_mask(how, set, old);  // until the handler returns
  {
    CriticalSection critical;
    before = self->signal_mask;
    if (set != nullptr) {
      if (how == SIG_BLOCK) {
        wanted |= before;
      } else if (how == SIG_UNBLOCK) {
        wanted = before & ~wanted;
      } else if (how != SIG_SETMASK) {
        return -EINVAL;
      }
      wanted &= ~(sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP));
      self->signal_mask = wanted;
      t_local.worker->kernel_mask = wanted;
      sys::set_signal_mask(SIG_SETMASK, &wanted, nullptr);
    }
  }
  if (old != nullptr) *old = before;
  if ((self->pending_signals.load(std::memory_order_relaxed) & ~self->signal_mask) != 0) {
    bool restart;
    take_pending_signals(&restart);
  }
  return 0;
}

void deliver_deferred_signals() {
  t_local.signals_deferred = false;
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) {
    if (t_local.worker == nullptr) sys::set_signal_mask(SIG_SETMASK, &t_local.deferred_mask, nullptr);
    return;
  }
  t_local.worker->kernel_mask = self->signal_mask;
  sys::set_signal_mask(SIG_SETMASK, &self->signal_mask, nullptr);
  if ((self->pending_signals.load(std::memory_order_relaxed) & ~self->signal_mask) != 0) {
    bool restart;
    take_pending_signals(&restart);
  }
}

int signal_coroutine(Coroutine* target, int signal) {
  if (signal < 0 || signal > kSignals || signal == 32 || signal == 33) return EINVAL;
  if (signal == 0) return 0;
  CriticalSection critical;
  bool blocked = (target->signal_mask & sys::signal_bit(signal)) != 0;
  if (!blocked && !is_fault_signal(signal)) {
    KernelAction action;
    {
      SpinGuard guard(g_lock);
      action = g_actions[signal];
    }
    if (action.handler == reinterpret_cast<void*>(SIG_IGN)) return 0;
    if (!is_handler(action)) return static_cast<int>(-sys::call(SYS_kill, sys::getpid(), signal));  // the whole process's
  }
  target->pending_signals.fetch_or(sys::signal_bit(signal), std::memory_order_acq_rel);
  if (!blocked) {
    target->interrupts.fetch_or(kInterruptSignal, std::memory_order_acq_rel);
    unpark(target);
  }
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->current.load(std::memory_order_acquire) == target && worker->tid != 0) {
      sys::call(SYS_tgkill, sys::getpid(), worker->tid, signal);
      break;
    }
  }
  return 0;
}

bool take_pending_signals(bool* restart) {
  Coroutine* self = t_local.coroutine;
  *restart = true;
  bool ran = false;
  self->interrupts.fetch_and(~static_cast<uint32_t>(kInterruptSignal), std::memory_order_acq_rel);
  for (;;) {
    uint64_t ready = self->pending_signals.load(std::memory_order_acquire) & ~self->signal_mask;
    if (ready == 0) return ran;
    int signal = __builtin_ctzll(ready) + 1;
    KernelAction action = action_of(signal);
    if (!is_handler(action)) {
      self->pending_signals.fetch_and(~sys::signal_bit(signal), std::memory_order_acq_rel);
      if (action.handler == reinterpret_cast<void*>(SIG_DFL)) sys::call(SYS_kill, sys::getpid(), signal);
      continue;
    }
    if ((action.flags & SA_RESTART) == 0) *restart = false;
    ran = true;
    // Delivered before the call returns: the worker's mask is this coroutine's.
    sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal);
    self->pending_signals.fetch_and(~sys::signal_bit(signal), std::memory_order_acq_rel);
  }
}

int take_pending_signal_of(sys::KernelSignalSet set) {
  Coroutine* self = t_local.coroutine;
  uint64_t ready = self->pending_signals.load(std::memory_order_acquire) & set;
  if (ready == 0) return 0;
  int signal = __builtin_ctzll(ready) + 1;
  self->pending_signals.fetch_and(~sys::signal_bit(signal), std::memory_order_acq_rel);
  return signal;
}

long coroutine_alternate_stack(const stack_t* stack, stack_t* old) {
  Coroutine* self = t_local.coroutine;
  stack_t before = self->alternate_stack;
  if (before.ss_sp == nullptr) before.ss_flags = SS_DISABLE;
  char here;
  bool on_it = before.ss_sp != nullptr && within(before, reinterpret_cast<uintptr_t>(&here));
  if (stack != nullptr) {
    if (on_it) return -EPERM;
    int flags = stack->ss_flags & ~static_cast<int>(1U << 31);  // SS_AUTODISARM
    if (flags != 0 && flags != SS_ONSTACK && flags != SS_DISABLE) return -EINVAL;
    if (flags != SS_DISABLE && stack->ss_size < 2048) return -ENOMEM;  // the kernel's MINSIGSTKSZ
    self->alternate_stack = *stack;
    if (flags == SS_DISABLE) self->alternate_stack = stack_t{};
  }
  if (old != nullptr) {
    *old = before;
    if (on_it) old->ss_flags |= SS_ONSTACK;
  }
  return 0;
}

void left_handler_by_jump(const sys::KernelSignalSet* mask_after) {
  if (t_local.handler_depth == 0) return;
  t_local.handler_depth = 0;
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) return;
  sys::KernelSignalSet mask = 0;
  if (mask_after != nullptr) {
    mask = *mask_after & sys::kAllSignals;
  } else {
    sys::set_signal_mask(SIG_BLOCK, nullptr, &mask);
  }
  self->signal_mask = mask;
  t_local.worker->kernel_mask = mask;
}

}  // namespace coshim
