#include "runtime/thread/signals.h"

#include <errno.h>

#include "preload/swap/swap.h"
#include "runtime/diag/backtrace.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/elastic.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signal_state.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parker.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

SpinLock g_signal_lock;
KernelAction g_actions[kSignals + 1];

namespace {

constexpr unsigned long kSaRestorer = 0x04000000;

std::atomic<bool> g_started{false};
pid_t g_process;  // the child of a vfork shares our memory, but not our actions
void* g_restorer;
void* g_own_handler;  // of the runtime itself
std::atomic<void (*)(int, siginfo_t*, void*)> g_glibc_cancel_handler{nullptr};

bool is_synchronous(int signal, const siginfo_t* info) {
  bool kind = is_fault_signal(signal) || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
              signal == SIGSYS;
  return kind && info->si_code > 0;
}

long kernel_action(int signal, const KernelAction* action, KernelAction* old) {
  return sys::call(SYS_rt_sigaction, signal, action, old, sizeof(sys::KernelSignalSet));
}

// The interrupted code is inside the runtime: block the signal for this kernel thread and queue it again; it
// comes when the mask is restored (leave_critical, or a worker's sleep).
void put_off(int signal, siginfo_t* info, ucontext_t* context) {
  sys::KernelSignalSet* mask = mask_of(context);
  Worker* worker = t_local.worker;
  if (worker != nullptr && t_local.handler_depth == 0) {
    worker->kernel_mask = *mask | sys::signal_bit(signal);
    worker->signals_deferred = true;
  } else {
    // A signal may come between another one's arrival here and this line: its mask has that one too.
    t_local.deferred_mask = t_local.mask_deferred ? t_local.deferred_mask & *mask : *mask;
    t_local.mask_deferred = true;
  }
  t_local.signals_deferred = true;
  *mask |= sys::signal_bit(signal);
  resend_to_this_thread(signal, info);
}

// The interrupted code has left the runtime, but not yet restored the mask of what was put off there: the
// mask to go back to is the one from before. Without this, our own critical sections would restore it now,
// and the return from this handler would block for ever what was put off.
void let_deferred_come(ucontext_t* context) {
  if (__builtin_expect(!t_local.signals_deferred || t_local.critical > 0, 1)) return;
  sys::KernelSignalSet* mask = mask_of(context);
  if (t_local.mask_deferred) {
    *mask &= t_local.deferred_mask;
    t_local.mask_deferred = false;
  }
  Worker* worker = t_local.worker;
  if (worker != nullptr && worker->signals_deferred && t_local.coroutine != nullptr &&
      t_local.handler_depth == 0) {
    *mask &= t_local.coroutine->signal_mask;
    worker->kernel_mask = *mask;
    worker->signals_deferred = false;
  }
}

// A fault. The report for a guard hit; then what the program has set, as natively: with no alternate stack of
// its own, an overflow can't run a handler and kills.
void handle_fault(int signal, siginfo_t* info, ucontext_t* context) {
  if (signal == SIGSEGV && elastic_touched(info->si_addr)) return;
  if (__builtin_expect(t_fault_recovery != nullptr, 0)) __builtin_longjmp(t_fault_recovery, 1);
  StackSlot* slot = find_slot(info->si_addr);
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
  } else {
    set_default_action(signal);  // it happens again on return
  }
}

// SIGSEGV or SIGBUS, sent, without a handler of the program's: what would have happened without ours.
void act_without_handler(const KernelAction& action, int signal) {
  if (!is_fault_signal(signal) || action.handler == reinterpret_cast<void*>(SIG_IGN)) return;
  set_default_action(signal);
  sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal);
}

// A sent signal that the program blocks, but the kernel must not (sys::g_never_blocked): pending, as
// natively.
bool keep_blocked(int signal, siginfo_t* info, ucontext_t* context) {
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) {
    if (!t_local.faults_blocked) return false;
    *mask_of(context) |= sys::signal_bit(signal);
    resend_to_this_thread(signal, info);
    return true;
  }
  if (t_local.handler_depth > 0 || (self->signal_mask & sys::signal_bit(signal)) == 0) return false;
  restore_info(info);
  signal_coroutine(self, signal, info);
  return true;
}

// For the whole process, and come to a kernel thread that the program does not know. SIGPIPE and SIGXFSZ look
// the same, but are for the thread that wrote.
bool came_to_hidden_thread(int signal, const siginfo_t* info) {
  const bool hidden = (t_local.worker != nullptr && sys::gettid() != sys::getpid()) || t_local.hidden;
  if (__builtin_expect(!hidden, 1)) return false;
  return info->si_code != SI_TKILL && info->si_code != kResentCode && !is_attention(info) &&
         !is_synchronous(signal, info) && signal != SIGPIPE && signal != SIGXFSZ;
}

bool pass_to_main(int signal, const siginfo_t* info) {
  siginfo_t copy = *info;
  copy.si_errno = copy.si_code;
  copy.si_code = kResentCode;
  return sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::getpid(), signal, &copy) == 0;
}

// Main accepts it: natively the kernel would have given it to main, whose wait it is to interrupt. Here it
// looked first at a hidden one, because that had just changed its mask. Main does not, and here is no thread of
// the program's: back to the process, which finds one. False: it is for the coroutine that runs here.
bool pass_on(int signal, const siginfo_t* info, ucontext_t* context) {
  const sys::KernelSignalSet bit = sys::signal_bit(signal);
  if ((g_watched_signals.load(std::memory_order_acquire) & bit) == 0) return pass_to_main(signal, info);
  if (t_local.coroutine != nullptr) return false;
  *mask_of(context) |= bit;
  if (Worker* worker = t_local.worker) worker->kernel_mask |= bit;
  give_back_to_process(signal, info);
  return true;
}

// With every signal blocked: a critical section that does not deliver at its end what was put off.
class UninterruptedSection {
 public:
  UninterruptedSection() { t_local.critical = t_local.critical + 1; }
  ~UninterruptedSection() { t_local.critical = t_local.critical - 1; }
  UninterruptedSection(const UninterruptedSection&) = delete;
  UninterruptedSection& operator=(const UninterruptedSection&) = delete;
};

void trampoline(int signal, siginfo_t* info, void* context_pointer) {
  auto* context = static_cast<ucontext_t*>(context_pointer);
  int saved = errno;
  if (is_fault_signal(signal) && info->si_code > 0) {
    handle_fault(signal, info, context);
    return;
  }
  let_deferred_come(context);
  if (came_to_hidden_thread(signal, info) && pass_on(signal, info, context)) {
    errno = saved;
    return;
  }
  Coroutine* self = t_local.coroutine;
  if (__builtin_expect((sys::signal_bit(signal) & sys::g_never_blocked) != 0, 0) &&
      keep_blocked(signal, info, context)) {
    return;
  }
  if (t_local.critical > 0 && !is_synchronous(signal, info)) {
    put_off(signal, info, context);
    return;
  }
  siginfo_t own;
  KernelAction action;
  {
    UninterruptedSection section;
    if (is_attention(info)) {
      if (self == nullptr || take_pending_signal(sys::signal_bit(signal), &own) == 0) return;
      info = &own;
    }
    restore_info(info);
    action = action_of(signal);
  }
  errno = saved;
  if (is_handler(action)) {
    run_handler(action, signal, info, context);
  } else {
    act_without_handler(action, signal);
  }
  if (t_local.signals_deferred && t_local.critical == 0 && t_local.handler_depth == 0)
    deliver_deferred_signals();
}

// Whether glibc's handler is to run on a worker. It cancels the thread that it finds itself on, which may be
// another one by now; what is not done now is done when the coroutine next waits.
bool cancel_signal_is_for(Coroutine* self) {
  constexpr int kDisabled = 1;  // CANCELSTATE_BITMASK, glibc's nptl/descr.h
  if (self == nullptr || !self->cancel_signal_due.load(std::memory_order_acquire)) return false;
  if (self->interruptible) {  // the wait ends, and its caller acts
    self->interrupts.fetch_or(kInterruptCancel, std::memory_order_acq_rel);
    unpark(self);
    return false;
  }
  return (tcb_cancel_state(self->fs_base) & kDisabled) == 0;
}

void cancel_trampoline(int signal, siginfo_t* info, void* context) {
  if (t_local.worker != nullptr && t_local.coroutine == nullptr) return;
  let_deferred_come(static_cast<ucontext_t*>(context));
  if (t_local.critical > 0) {
    put_off(signal, info, static_cast<ucontext_t*>(context));
    return;
  }
  if (t_local.worker != nullptr) {
    if (!cancel_signal_is_for(t_local.coroutine)) return;
    t_local.coroutine->cancel_signal_due.store(false, std::memory_order_relaxed);
  }
  restore_info(info);
  // It may have interrupted a wait, which is then left by unwinding.
  if (t_local.thread != nullptr) lot_abandon(t_local.thread);
  // If it unwinds, this kernel thread's mask stays as it is here, and as the interrupted function of libc had
  // it: say so.
  Worker* worker = t_local.worker;
  const sys::KernelSignalSet mask = worker != nullptr ? worker->kernel_mask : 0;
  if (worker != nullptr) worker->kernel_mask = ~sys::KernelSignalSet{0};
  sys::KernelSignalSet in_handler = *mask_of(static_cast<ucontext_t*>(context)) | sys::signal_bit(signal);
  sys::set_signal_mask(SIG_SETMASK, &in_handler, nullptr);
  g_glibc_cancel_handler.load(std::memory_order_acquire)(signal, info, context);
  if (worker != nullptr) worker->kernel_mask = mask;
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
  ours.flags = (is_handler(program) ? program.flags & ~static_cast<unsigned long>(SA_RESETHAND) : 0) |
               SA_SIGINFO | kSaRestorer;
  if (is_fault_signal(signal)) ours.flags |= SA_ONSTACK | (is_handler(program) ? 0 : SA_RESTART);
  ours.restorer = g_restorer;
  ours.mask = ~sys::g_never_blocked;  // until the handler is called (runtime/thread/handler_call.cpp)
  kernel_action(signal, &ours, nullptr);
}

// The return trampoline that the kernel needs, used until a libc-installed action has shown us libc's:
// rt_sigreturn(2), in the very bytes by which unwinders recognise a signal frame (libgcc's linux-unwind.h).
__asm__(
    ".pushsection .text\n.p2align 4\n.type coshim_signal_return, @function\n"
    "nop\ncoshim_signal_return:\n\t.byte 0x48,0xc7,0xc0,0x0f,0,0,0\n\tsyscall\n.size coshim_signal_return, . "
    "- coshim_signal_return\n.popsection\n");
extern "C" void coshim_signal_return() __attribute__((visibility("hidden")));

// As glibc does, and shows. Without it the kernel has no way back from a handler.
KernelAction with_restorer(KernelAction action) {
  action.flags |= kSaRestorer;
  action.restorer = g_restorer;
  return action;
}

// In the child of a vfork: the kernel's own actions are the child's, the table is the parent's.
long action_in_vfork_child(int signal, const KernelAction* action, KernelAction* old) {
  KernelAction wanted{}, before{};
  if (action != nullptr) wanted = with_restorer(*action);
  long result = kernel_action(signal, action != nullptr ? &wanted : nullptr, &before);
  if (result != 0 || old == nullptr) return result;
  *old = before.handler == reinterpret_cast<void*>(&trampoline) ? g_actions[signal] : before;
  return 0;
}

}  // namespace

void set_default_action(int signal) {
  KernelAction action{};
  action.flags = kSaRestorer;
  action.restorer = g_restorer;
  kernel_action(signal, &action, nullptr);
}

KernelAction action_of(int signal) {
  CriticalSection critical;
  SpinGuard guard(g_signal_lock);
  return g_actions[signal];
}

void signals_start() {
  g_restorer = reinterpret_cast<void*>(&coshim_signal_return);
  g_process = sys::getpid();
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33) continue;
    KernelAction current{};
    if (kernel_action(signal, nullptr, &current) != 0) continue;
    if (current.handler == reinterpret_cast<void*>(&trampoline)) continue;       // the child of a fork
    if (g_own_handler != nullptr && current.handler == g_own_handler) continue;  // the program has none there
    g_actions[signal] = current;
    if (current.restorer != nullptr) g_restorer = current.restorer;
    if (is_handler(current) || is_fault_signal(signal)) install(signal, current);
  }
  sys::call(SYS_membarrier, 1 << 4 /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED */, 0, 0);
  g_started.store(true, std::memory_order_release);
  sys::KernelSignalSet mask = sys::kAllSignals;
  if (sys::gettid() == g_process) sys::set_signal_mask(SIG_BLOCK, nullptr, &mask);
  watch_signals(mask);
}

void install_own_handler(int signal, void (*handler)(int, siginfo_t*, void*)) {
  if (g_restorer == nullptr) g_restorer = reinterpret_cast<void*>(&coshim_signal_return);
  g_own_handler = reinterpret_cast<void*>(handler);
  KernelAction action{};
  action.handler = reinterpret_cast<void*>(handler);
  action.flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | kSaRestorer;
  action.restorer = g_restorer;
  action.mask = sys::kAllSignals;
  kernel_action(signal, &action, nullptr);
}

bool signals_started() {
  return g_started.load(std::memory_order_acquire);
}

void lock_signals_for_fork() {
  g_signal_lock.lock();
}
void unlock_signals_after_fork() {
  g_signal_lock.unlock();
}

void signals_after_fork_in_child(const Coroutine* self) {
  g_signal_lock.reset();
  g_process = sys::getpid();
  forget_watched_signals();
  if (self == nullptr) return;
  stack_t stack = self->alternate_stack;
  if (stack.ss_sp == nullptr) stack.ss_flags = SS_DISABLE;
  sys::call(SYS_sigaltstack, &stack, nullptr);
}

long program_action(int signal, const KernelAction* action, KernelAction* old) {
  if (signal < 1 || signal > kSignals || signal == 32 || signal == 33) return -EINVAL;
  if (signal == SIGKILL || signal == SIGSTOP) return kernel_action(signal, action, old);
  if (t_local.vfork_child || sys::getpid() != g_process) return action_in_vfork_child(signal, action, old);
  KernelAction wanted{};
  if (action != nullptr) wanted = with_restorer(*action);  // may fault: before the lock
  KernelAction before;
  {
    CriticalSection critical;
    SpinGuard guard(g_signal_lock);
    before = g_actions[signal];
    if (action != nullptr) {
      // The dump's is the program's own from now on.
      if (is_handler(wanted) && !is_fault_signal(signal)) sys::g_never_blocked &= ~sys::signal_bit(signal);
      g_actions[signal] = wanted;
      install(signal, wanted);
    }
  }
  if (old != nullptr) *old = before;
  return 0;
}

void guard_cancel_signal() {
  KernelAction current{};
  if (kernel_action(kCancelSignal, nullptr, &current) != 0 || !is_handler(current)) return;
  if (current.handler == reinterpret_cast<void*>(&cancel_trampoline)) return;
  g_glibc_cancel_handler.store(reinterpret_cast<void (*)(int, siginfo_t*, void*)>(current.handler));
  current.handler = reinterpret_cast<void*>(&cancel_trampoline);
  current.mask = ~sys::g_never_blocked;
  kernel_action(kCancelSignal, &current, nullptr);
}

long coroutine_alternate_stack(const stack_t* stack, stack_t* old) {
  Coroutine* self = t_local.coroutine;
  stack_t before = self->alternate_stack;
  if (before.ss_sp == nullptr) before.ss_flags = SS_DISABLE;
  char here;
  bool on_it = before.ss_sp != nullptr && &here >= before.ss_sp &&
               &here < static_cast<char*>(before.ss_sp) + before.ss_size;
  if (stack != nullptr) {
    if (on_it) return -EPERM;
    int flags = stack->ss_flags & ~static_cast<int>(1U << 31);  // SS_AUTODISARM
    if (flags != 0 && flags != SS_ONSTACK && flags != SS_DISABLE) return -EINVAL;
    if (flags != SS_DISABLE && stack->ss_size < 2048) return -ENOMEM;  // the kernel's MINSIGSTKSZ
    self->alternate_stack = *stack;
    self->alternate_stack.ss_flags = 0;
    if (flags == SS_DISABLE) self->alternate_stack = stack_t{};
  }
  if (old != nullptr) {
    *old = before;
    if (on_it) old->ss_flags |= SS_ONSTACK;
  }
  return 0;
}

}  // namespace coshim
