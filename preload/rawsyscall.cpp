// syscall(2): programs that call the kernel by number meet the same hooks as by name. None of these is a
// cancellation point then. What is not listed, and all on kernel threads except futexes and signals' books,
// is the real call.
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/cpu_clock.h"
#include "preload/futex.h"
#include "preload/hook.h"
#include "preload/own_thread.h"
#include "preload/reach.h"
#include "preload/scheduling_calls.h"
#include "preload/user_memory.h"
#include "runtime/base/private_memory.h"
#include "runtime/diag/statistics.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/thread/directed_timer.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

class NoCancellation {
 public:
  NoCancellation() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancellation() {
    pthread_setcancelstate(before_, nullptr);
    asynchronous_cancellation_point();
  }
  NoCancellation(const NoCancellation&) = delete;
  NoCancellation& operator=(const NoCancellation&) = delete;

 private:
  int before_ = 0;
};

// One argument of a system call: any integer or pointer.
struct Argument {
  long value;
  template <typename T, typename = std::enable_if_t<std::is_pointer_v<T>>>
  operator T() const {
    return reinterpret_cast<T>(value);
  }
  operator int() const { return static_cast<int>(value); }
  operator unsigned() const { return static_cast<unsigned>(value); }
  operator long() const { return value; }
  operator unsigned long() const { return static_cast<unsigned long>(value); }
};

struct Call {
  long number;
  Argument a, b, c, d, e, f;
  long raw() const { return sys::call(number, a.value, b.value, c.value, d.value, e.value, f.value); }
};

// Results are the kernel's: a value or -errno.
constexpr long kNotOurs = kNotAboutCoroutines;

long in_libc_style(long result) {
  return errno_result(result);
}

template <typename T>
bool there(const T* given, T* old) {
  return absent_or_readable(given) && absent_or_writable(old);
}

long transfer(const Call& call) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_read:
      return in_libc_style(hook_read(a, b, c));
    case SYS_write:
      return in_libc_style(hook_write(a, b, c));
    case SYS_readv:
      return in_libc_style(hook_readv(a, b, c));
    case SYS_writev:
      return in_libc_style(hook_writev(a, b, c));
    case SYS_recvfrom:
      return in_libc_style(hook_recvfrom(a, b, c, d, e, f));
    case SYS_sendto:
      return in_libc_style(hook_sendto(a, b, c, d, e, static_cast<socklen_t>(f.value)));
    case SYS_recvmsg:
      return in_libc_style(hook_recvmsg(a, b, c));
    case SYS_sendmsg:
      return in_libc_style(hook_sendmsg(a, b, c));
    case SYS_recvmmsg:
      return in_libc_style(hook_recvmmsg(a, b, c, d, e));
    case SYS_sendmmsg:
      return in_libc_style(hook_sendmmsg(a, b, c, d));
    case SYS_accept:
      return in_libc_style(hook_accept(a, b, c));
    case SYS_accept4:
      return in_libc_style(hook_accept4(a, b, c, d));
    case SYS_connect:
      return in_libc_style(hook_connect(a, b, static_cast<socklen_t>(c.value)));
    case SYS_sendfile:
      return in_libc_style(hook_sendfile(a, b, c, d));
    case SYS_splice:
      return in_libc_style(hook_splice(a, b, c, d, e, f));
    default:
      return kNotOurs;
  }
}

// With a signal mask (ppoll and its like), the real call: the monitor covers it.
// (Times that libc's own function would fault at are the kernel's business too.)
long wait(const Call& call) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_poll:
      return in_libc_style(hook_poll(a, b, c));
    case SYS_ppoll:
      if (d.value != 0 || !absent_or_readable(static_cast<const timespec*>(c))) return kNotOurs;
      return in_libc_style(hook_ppoll(a, b, c, nullptr));
    case SYS_select:
      if (!absent_or_writable(static_cast<timeval*>(e))) return kNotOurs;
      return in_libc_style(hook_select(a, b, c, d, e));
    case SYS_epoll_wait:
      return in_libc_style(hook_epoll_wait(a, b, c, d));
    case SYS_epoll_pwait:
      return e.value != 0 ? kNotOurs : in_libc_style(hook_epoll_wait(a, b, c, d));
    case SYS_nanosleep:
      return in_libc_style(hook_nanosleep(a, b));
    case SYS_clock_nanosleep:
      return -static_cast<long>(hook_clock_nanosleep(a, b, c, d));
    case SYS_wait4:
      return in_libc_style(hook_wait4(a, b, c, d));
    case SYS_waitid:
      return e.value != 0 ? kNotOurs : in_libc_style(hook_waitid(static_cast<idtype_t>(a.value), b, c, d));
    case SYS_sched_yield:
      return hook_sched_yield();
    default:
      return kNotOurs;
  }
}

// The table of descriptors stays true, whoever calls.
long descriptor_call(const Call& call) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_close:
      return in_libc_style(hook_close(a));
    case SYS_dup:
      return in_libc_style(hook_dup(a));
    case SYS_dup2:
      return in_libc_style(hook_dup2(a, b));
    case SYS_dup3:
      return in_libc_style(hook_dup3(a, b, c));
    case SYS_close_range:
      return in_libc_style(hook_close_range(a, b, c));
    case SYS_fcntl:
      return in_libc_style(hook_fcntl(a, b, c));
    case SYS_ioctl:
      return in_libc_style(hook_ioctl(a, b, c));
    case SYS_setsockopt:
      return in_libc_style(hook_setsockopt(a, b, c, d, static_cast<socklen_t>(e.value)));
    case SYS_listen:
      return in_libc_style(hook_listen(a, b));
    default:
      return kNotOurs;
  }
}

// Books of ours that hold for kernel threads too, once there are coroutines.
long signal_call(const Call& call) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_rt_sigaction:
      if (d.value != sizeof(sys::KernelSignalSet) || a.value == 32 || a.value == 33) return kNotOurs;
      if (!there(static_cast<const KernelAction*>(b), static_cast<KernelAction*>(c))) return -EFAULT;
      return program_action(a, static_cast<const KernelAction*>(b), static_cast<KernelAction*>(c));
    case SYS_kill:
      return in_libc_style(hook_kill(a, b));
    case SYS_tgkill:
      return in_libc_style(hook_tgkill(a, b, c));
    case SYS_tkill: {
      Coroutine* target = coroutine_by_tid(a);
      return target == nullptr ? kNotOurs : -static_cast<long>(signal_coroutine(target, c));
    }
    case SYS_timer_create: {
      const sigevent* event = b;
      Coroutine* target = event != nullptr && event->sigev_notify == SIGEV_THREAD_ID
                              ? coroutine_by_tid(event->_sigev_un._tid)
                              : nullptr;
      return target == nullptr ? kNotOurs : create_directed_timer(a, *event, target, c);
    }
    case SYS_timer_getoverrun: {
      int overrun = directed_timer_overrun(a);
      return overrun < 0 ? kNotOurs : overrun;
    }
    case SYS_timer_delete:
      directed_timer_deleted(a);
      return kNotOurs;
    default:
      return kNotOurs;
  }
}

// Only what concerns coroutines' CPU time.
long clock_call(const Call& call) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_clock_gettime:
      return owner_of_clock(a) == nullptr ? kNotOurs : in_libc_style(hook_clock_gettime(a, b));
    case SYS_clock_getres:
      return owner_of_clock(a) == nullptr ? kNotOurs : in_libc_style(hook_clock_getres(a, b));
    case SYS_getrusage:
      return a.value != RUSAGE_THREAD ? kNotOurs : in_libc_style(hook_getrusage(RUSAGE_THREAD, b));
    default:
      return kNotOurs;
  }
}

// The calling coroutine's own books.
long thread_call(const Call& call, Coroutine* self) {
  const auto& [number, a, b, c, d, e, f] = call;
  switch (number) {
    case SYS_gettid:
    // The address is glibc's business: the kernel would write to it when the hidden kernel thread ends.
    case SYS_set_tid_address:
      return self->tid;
    case SYS_rt_sigprocmask:
      if (d.value != sizeof(sys::KernelSignalSet)) return -EINVAL;
      if (!there(static_cast<const sys::KernelSignalSet*>(b), static_cast<sys::KernelSignalSet*>(c)))
        return -EFAULT;
      return change_coroutine_mask(a, b, c);
    case SYS_sigaltstack:
      return in_libc_style(hook_sigaltstack(a, b));
    case SYS_rt_sigsuspend:
      return in_libc_style(hook_sigsuspend(a));
    case SYS_rt_sigtimedwait:
      return in_libc_style(hook_sigtimedwait(a, b, c));
    case SYS_prctl:
      return in_libc_style(hook_prctl(a, b, c, d, e));
    case SYS_exit:  // ends this thread alone
      hook_pthread_exit(nullptr);
      return 0;
    default:
      return kNotOurs;
  }
}

// fork(2), and clone(2) used as one: the runtime's part of it.
bool is_fork(const Call& call) {
  return call.number == SYS_fork || (call.number == SYS_clone && (call.a.value & CLONE_VM) == 0);
}
long fork_by_number(const Call& call) {
  runtime_before_fork();
  long child = call.raw();
  if (child == 0) {
    runtime_after_fork_in_child();
  } else {
    runtime_after_fork_in_parent();
  }
  return child;
}

long dispatch(const Call& call) {
  if (call.number == SYS_mmap || call.number == SYS_mremap || call.number == SYS_shmat)
    forget_private_memory();
  Coroutine* self = t_local.coroutine;
  long result = signal_call(call);
  if (result == kNotOurs) result = descriptor_call(call);
  if (result == kNotOurs) result = clock_call(call);
  if (result == kNotOurs) result = scheduling_call(call.number, call.a, call.b, call.c);
  if (result != kNotOurs || self == nullptr) return result;
  if (call.number == SYS_exit) return thread_call(call, self);
  NoCancellation cancellation;
  result = thread_call(call, self);
  if (result != kNotOurs || !in_coroutine()) return result;
  result = transfer(call);
  return result != kNotOurs ? result : wait(call);
}

}  // namespace

HOOK(long, syscall, (long number, long a, long b, long c, long d, long e, long f)) {
  const Call call{number, {a}, {b}, {c}, {d}, {e}, {f}};
  Reach reach(Reach::SystemCall{number, b, c});
  if (number == SYS_futex) return return_errno(futex_call(call.a, call.b, call.c, call.d, call.e, call.f));
  if (!runtime_started() || t_local.vfork_child) return return_errno(call.raw());
  if (number == SYS_exit_group) statistics_at_exit();
  if (number == SYS_seccomp) entering_seccomp();
  if (changes_thread_alone(number, a, b)) return return_errno(change_alone([&] { return call.raw(); }));
  int saved = errno;
  long result = is_fork(call) ? fork_by_number(call) : dispatch(call);
  errno = saved;
  return return_errno(result == kNotOurs ? call.raw() : result);
}

}  // namespace coshim
