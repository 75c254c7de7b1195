// Waiting for signals: in the kernel, in a blocking region, since a signal for the whole process may come
// there as natively. A signal sent to the coroutine alone reaches its kernel thread as an attention meanwhile
// (runtime/thread/signals.h).
#include <string.h>
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/hook.h"
#include "preload/user_memory.h"
#include "runtime/base/clock.h"
#include "runtime/config.h"
#include "runtime/sched/blocking.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

sys::KernelSignalSet to_kernel(const sigset_t& set) {
  sys::KernelSignalSet mask;
  memcpy(&mask, &set, sizeof(mask));
  return mask & sys::kAllSignals;
}

// The kernel looks at no more of a set than it has signals.
bool readable_set(const sigset_t* set) {
  return readable(set, sizeof(sys::KernelSignalSet));
}

// sigtimedwait(2) of a coroutine: a signal's number, or -1 and errno.
int wait_for(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  const sys::KernelSignalSet wanted = to_kernel(*set);
  sigset_t kernel_set;
  memset(&kernel_set, 0, sizeof(kernel_set));
  memcpy(&kernel_set, set, sizeof(wanted));
  if (g_shared_stacks) sigdelset(&kernel_set, g_config.dump_signal);  // not to be taken away from the monitor
  const bool limited = timeout != nullptr && valid_timespec(*timeout);
  const Nanoseconds deadline = limited ? deadline_after(to_nanoseconds(*timeout)) : kForever;
  begin_signal_wait();
  int result = take_pending_signal(wanted, info);
  while (result == 0) {
    timespec left{};
    if (limited) {
      Nanoseconds remaining = deadline - monotonic_now();
      left = to_timespec(remaining > 0 ? remaining : 0);
    }
    {
      BlockingRegion region("sigtimedwait");
      result = real::sigtimedwait(&kernel_set, info, limited ? &left : timeout);
      if (result < 0 && errno == EINTR && region.was_frozen()) result = 0;
    }
    if (result > 0 && is_attention(info)) result = take_pending_signal(sys::signal_bit(result), info);
    if (result > 0) restore_info(info);
  }
  int error = errno;
  end_signal_wait();
  errno = error;
  return result;
}

int suspend(sys::KernelSignalSet mask) {
  cancellation_point();
  sigset_t set;
  memset(&set, 0, sizeof(set));
  mask &= ~sys::g_never_blocked;
  memcpy(&set, &mask, sizeof(mask));
  const uint32_t handlers_before = t_local.handlers_run;
  const SuspendedMasks before = begin_signal_suspend(mask);
  do {
    BlockingRegion region("sigsuspend");
    real::sigsuspend(&set);
  } while (t_local.handlers_run == handlers_before);  // an attention for another coroutine is no signal
  end_signal_suspend(before);
  errno = EINTR;
  return -1;
}

// In a handler it is the kernel's.
sys::KernelSignalSet own_mask() {
  sys::KernelSignalSet mask = t_local.coroutine->signal_mask;
  if (t_local.handler_depth > 0) sys::set_signal_mask(SIG_BLOCK, nullptr, &mask);
  return mask;
}

// Also in a handler: what was sent to the thread while its own mask blocked it is with us, not with the
// kernel.
bool suspends_here() {
  return t_local.coroutine != nullptr && t_local.critical == 0;
}

}  // namespace

HOOK(int, sigtimedwait, (const sigset_t* set, siginfo_t* info, const timespec* timeout)) {
  if (!in_coroutine() || !readable_set(set) || !absent_or_readable(timeout))
    return real::sigtimedwait(set, info, timeout);
  cancellation_point();
  siginfo_t taken;
  memset(&taken, 0, sizeof(taken));
  int result = wait_for(set, &taken, timeout);
  if (result <= 0 || info == nullptr) return result;
  if (!writable(info)) return return_errno<int>(-EFAULT);
  *info = taken;
  return result;
}

HOOK(int, sigwaitinfo, (const sigset_t* set, siginfo_t* info)) {
  if (!in_coroutine()) return real::sigwaitinfo(set, info);
  return hook_sigtimedwait(set, info, nullptr);
}

// sigwait(3) is not ended by handlers of other signals.
HOOK(int, sigwait, (const sigset_t* set, int* number)) {
  if (!in_coroutine()) return real::sigwait(set, number);
  int saved = errno, result;
  do {
    result = hook_sigtimedwait(set, nullptr, nullptr);
  } while (result < 0 && errno == EINTR);
  int error = result < 0 ? errno : 0;
  errno = saved;
  if (error == 0) *number = result;
  return error;
}

HOOK(int, sigsuspend, (const sigset_t* set)) {
  if (!suspends_here() || !readable_set(set)) return real::sigsuspend(set);
  return suspend(to_kernel(*set));
}

HOOK(int, __xpg_sigpause, (int number)) {
  if (!suspends_here()) return real::__xpg_sigpause(number);
  if (number < 1 || number > 64) return return_errno<int>(-EINVAL);
  return suspend(own_mask() & ~sys::signal_bit(number));
}

HOOK(int, sigpause, (int mask)) {
  if (!suspends_here()) return real::sigpause(mask);
  return suspend(static_cast<uint32_t>(mask));
}

HOOK(int, __sigpause, (int number_or_mask, int is_number)) {
  return is_number != 0 ? hook___xpg_sigpause(number_or_mask) : hook_sigpause(number_or_mask);
}

HOOK(int, pause, ()) {
  if (!suspends_here()) return real::pause();
  return suspend(own_mask());
}

}  // namespace coshim
