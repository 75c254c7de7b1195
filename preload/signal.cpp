// Actions, masks and sending. The rules are in runtime/thread/signals.h; here they get libc's interfaces.
#include <string.h>
#include <sys/ucontext.h>

#include "preload/hook.h"
#include "preload/user_memory.h"
#include "runtime/base/spin_lock.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

// siginterrupt(3)'s memory, which glibc's own has no getter for.
std::atomic<sys::KernelSignalSet> g_interrupting{0};

sys::KernelSignalSet to_kernel(const sigset_t& set) {
  sys::KernelSignalSet mask;
  memcpy(&mask, &set, sizeof(mask));
  return mask;
}

sigset_t to_libc(sys::KernelSignalSet mask) {
  sigset_t set;
  memset(&set, 0, sizeof(set));
  memcpy(&set, &mask, sizeof(mask));
  return set;
}

// The lowest 32 signals, as BSD's functions have them.
int to_bsd(sys::KernelSignalSet mask) {
  return static_cast<int>(static_cast<uint32_t>(mask));
}
sys::KernelSignalSet from_bsd(int mask) {
  return static_cast<uint32_t>(mask);
}

int set_action(int signal, const struct sigaction* action, struct sigaction* old) {
  KernelAction wanted{}, before{};
  if (action != nullptr) {
    wanted.handler = reinterpret_cast<void*>(action->sa_handler);
    wanted.flags = static_cast<unsigned long>(static_cast<unsigned>(action->sa_flags));
    wanted.mask = to_kernel(action->sa_mask);
  }
  long result =
      program_action(signal, action != nullptr ? &wanted : nullptr, old != nullptr ? &before : nullptr);
  if (result != 0) return return_errno<int>(result);
  if (old != nullptr) {
    old->sa_handler = reinterpret_cast<sighandler_t>(before.handler);
    old->sa_flags = static_cast<int>(before.flags);
    old->sa_mask = to_libc(before.mask);
    old->sa_restorer = reinterpret_cast<void (*)()>(before.restorer);
  }
  return 0;
}

sighandler_t set_handler(int signal, sighandler_t handler, int flags, sys::KernelSignalSet mask) {
  struct sigaction action, old;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  action.sa_flags = flags;
  action.sa_mask = to_libc(mask);
  return set_action(signal, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

bool invalid_for_signal(int signal, sighandler_t handler) {
  if (signal >= 1 && signal <= 64 && handler != SIG_ERR) return false;
  errno = EINVAL;
  return true;
}

long change_mask(int how, const sys::KernelSignalSet* set, sys::KernelSignalSet* old) {
  if (t_local.coroutine != nullptr) return change_coroutine_mask(how, set, old);
  sys::KernelSignalSet wanted = set != nullptr ? *set & sys::kAllSignals : 0;
  long result = sys::set_signal_mask(how, set != nullptr ? &wanted : nullptr, old);
  if (result == 0 && sys::g_never_blocked != 0) {
    if (old != nullptr && t_local.faults_blocked) *old |= sys::g_never_blocked;
    bool named = (wanted & sys::g_never_blocked) != 0;
    if (set != nullptr && (named || how == SIG_SETMASK)) t_local.faults_blocked = named && how != SIG_UNBLOCK;
  }
  bool blocks = result == 0 && set != nullptr && how != SIG_UNBLOCK && wanted != 0;
  if (blocks && runtime_started() && !t_local.vfork_child && t_local.handler_depth == 0 &&
      sys::gettid() == sys::getpid())
    watch_signals(wanted);
  return result;
}

long change_mask(int how, const sigset_t* set, sigset_t* old) {
  sys::KernelSignalSet wanted = 0, before = 0;
  if (set != nullptr) wanted = to_kernel(*set);
  long result = change_mask(how, set != nullptr ? &wanted : nullptr, &before);
  if (result == 0 && old != nullptr) memcpy(old, &before, sizeof(before));  // as glibc: the kernel's size
  return result;
}

int change_one(int how, int signal) {
  if (signal < 1 || signal > 64) return return_errno<int>(-EINVAL);
  sys::KernelSignalSet bit = sys::signal_bit(signal);
  return return_errno<int>(change_mask(how, &bit, static_cast<sys::KernelSignalSet*>(nullptr)));
}

int change_bsd(int how, const sys::KernelSignalSet* set) {
  sys::KernelSignalSet before = 0;
  long result = change_mask(how, set, &before);
  return result == 0 ? to_bsd(before) : return_errno<int>(result);
}

}  // namespace

HOOK(int, sigaction, (int signal, const struct sigaction* action, struct sigaction* old)) {
  if (!signals_started()) return real::sigaction(signal, action, old);
  return set_action(signal, action, old);
}

HOOK(sighandler_t, signal, (int number, sighandler_t handler)) {
  if (!signals_started()) return real::signal(number, handler);
  if (invalid_for_signal(number, handler)) return SIG_ERR;
  bool interrupting = (g_interrupting.load(std::memory_order_relaxed) & sys::signal_bit(number)) != 0;
  return set_handler(number, handler, interrupting ? 0 : SA_RESTART, sys::signal_bit(number));
}

HOOK(sighandler_t, sysv_signal, (int number, sighandler_t handler)) {
  if (!signals_started()) return real::sysv_signal(number, handler);
  if (invalid_for_signal(number, handler)) return SIG_ERR;
  return set_handler(number, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER | SA_INTERRUPT), 0);
}

HOOK(int, siginterrupt, (int number, int interrupt)) {
  if (number >= 1 && number <= 64) {
    if (interrupt != 0) {
      g_interrupting.fetch_or(sys::signal_bit(number));
    } else {
      g_interrupting.fetch_and(~sys::signal_bit(number));
    }
  }
  if (!signals_started()) return real::siginterrupt(number, interrupt);
  struct sigaction action;
  if (set_action(number, nullptr, &action) != 0) return -1;
  action.sa_flags = interrupt != 0 ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return set_action(number, &action, nullptr);
}

HOOK(int, sigignore, (int number)) {
  if (!signals_started()) return real::sigignore(number);
  return set_handler(number, SIG_IGN, 0, 0) == SIG_ERR ? -1 : 0;
}

HOOK(sighandler_t, sigset, (int number, sighandler_t handler)) {
  if (!signals_started()) return real::sigset(number, handler);
  if (invalid_for_signal(number, handler)) return SIG_ERR;
  sys::KernelSignalSet bit = sys::signal_bit(number), before = 0;
  if (handler == SIG_HOLD) {
    change_mask(SIG_BLOCK, &bit, &before);
    if ((before & bit) != 0) return SIG_HOLD;
    struct sigaction current;
    return set_action(number, nullptr, &current) == 0 ? current.sa_handler : SIG_ERR;
  }
  sighandler_t old = set_handler(number, handler, 0, 0);
  if (old == SIG_ERR) return SIG_ERR;
  change_mask(SIG_UNBLOCK, &bit, &before);
  return (before & bit) != 0 ? SIG_HOLD : old;
}

HOOK(int, pthread_sigmask, (int how, const sigset_t* set, sigset_t* old)) {
  return static_cast<int>(-change_mask(how, set, old));
}

HOOK(int, sigprocmask, (int how, const sigset_t* set, sigset_t* old)) {
  return return_errno<int>(change_mask(how, set, old));
}

HOOK(int, sighold, (int number)) {
  return change_one(SIG_BLOCK, number);
}
HOOK(int, sigrelse, (int number)) {
  return change_one(SIG_UNBLOCK, number);
}

HOOK(int, sigblock, (int mask)) {
  sys::KernelSignalSet set = from_bsd(mask);
  return change_bsd(SIG_BLOCK, &set);
}
HOOK(int, sigsetmask, (int mask)) {
  sys::KernelSignalSet set = from_bsd(mask);
  return change_bsd(SIG_SETMASK, &set);
}
HOOK(int, siggetmask, ()) {
  return change_bsd(SIG_BLOCK, nullptr);
}

HOOK(int, sigpending, (sigset_t * set)) {
  int result = real::sigpending(set);
  Coroutine* self = t_local.coroutine;
  if (result != 0 || self == nullptr) return result;
  sys::KernelSignalSet pending =
      to_kernel(*set) | (self->pending_signals.load(std::memory_order_acquire) & self->signal_mask);
  memcpy(set, &pending, sizeof(pending));
  return 0;
}

HOOK(int, sigaltstack, (const stack_t* stack, stack_t* old)) {
  if (t_local.coroutine == nullptr) return real::sigaltstack(stack, old);
  if (!absent_or_readable(stack) || !absent_or_writable(old)) return return_errno<int>(-EFAULT);
  return return_errno<int>(coroutine_alternate_stack(stack, old));
}

// raise(3) to itself: the handler runs before it returns. Only a blocked signal differs: it must not stay
// with the kernel thread.
HOOK(int, raise, (int number)) {
  if (t_local.coroutine == nullptr) return real::raise(number);
  if (number < 0 || number > 64 || number == 32 || number == 33) return return_errno<int>(-EINVAL);
  return return_errno<int>(-static_cast<long>(signal_itself(number)));
}

HOOK(int, pthread_kill, (pthread_t thread, int number)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_kill(thread, number);
  if (number < 0 || number > 64 || number == 32 || number == 33) return EINVAL;
  if (number == 0 || coroutine_ended(target))
    return 0;  // glibc 2.34 and later: not an error while it can be joined
  if (target == t_local.coroutine) return signal_itself(number);
  return signal_coroutine(target, number);
}

HOOK(int, pthread_sigqueue, (pthread_t thread, int number, const sigval value)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_sigqueue(thread, number, value);
  if (number < 0 || number > 64 || number == 32 || number == 33) return EINVAL;
  if (coroutine_ended(target)) return ESRCH;
  siginfo_t info;
  memset(&info, 0, sizeof(info));
  info.si_signo = number;
  info.si_code = SI_QUEUE;
  info.si_pid = sys::getpid();
  info.si_uid = static_cast<uid_t>(sys::call(SYS_getuid));
  info.si_value = value;
  return signal_coroutine(target, number, &info);
}

namespace {
// The kernel takes the number of any thread for its process (kill(2)).
pid_t process_of(pid_t number) {
  return coroutine_by_tid(number) != nullptr ? sys::getpid() : number;
}
}  // namespace

HOOK(int, kill, (pid_t process, int number)) {
  return real::kill(process_of(process), number);
}

HOOK(int, sigqueue, (pid_t process, int number, const sigval value)) {
  return real::sigqueue(process_of(process), number, value);
}

HOOK(int, tgkill, (pid_t process, pid_t tid, int number)) {
  Coroutine* target = process == sys::getpid() ? coroutine_by_tid(tid) : nullptr;
  if (target == nullptr) return real::tgkill(process, tid, number);
  if (target == t_local.coroutine && number != 0)
    return return_errno<int>(-static_cast<long>(signal_itself(number)));
  return return_errno<int>(-static_cast<long>(signal_coroutine(target, number)));
}

}  // namespace coshim
