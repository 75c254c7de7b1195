// CPU time of threads: a coroutine's is its own, not that of the kernel thread underneath
// (runtime/sched/cpu_time.h).
#include "preload/cpu_clock.h"

#include "preload/hook.h"
#include "preload/reach.h"
#include "preload/user_memory.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/stack/pager.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

// Those that the vDSO answers without the kernel: REALTIME, MONOTONIC, MONOTONIC_RAW, both COARSE, BOOTTIME,
// TAI.
constexpr unsigned kClocksOfUserMode = 0x8f3;
bool read_in_user_mode(clockid_t clock) {
  return static_cast<unsigned>(clock) < 12 && (kClocksOfUserMode >> clock & 1) != 0;
}

int read_by_kernel(clockid_t clock, timespec* time) {
  if (!pager_active()) return real::clock_gettime(clock, time);
  Reach reach(time);
  return real::clock_gettime(clock, time);
}

}  // namespace

Coroutine* owner_of_clock(clockid_t clock) {
  if (clock == CLOCK_THREAD_CPUTIME_ID) return t_local.coroutine;
  pid_t tid = thread_of_cpu_clock(clock);
  if (tid == 0 || !runtime_started()) return nullptr;
  return tid == -1 ? t_local.coroutine : coroutine_by_tid(tid);
}

HOOK(int, clock_gettime, (clockid_t clock, timespec* time)) {
  if (__builtin_expect(read_in_user_mode(clock), 1)) return real::clock_gettime(clock, time);
  Coroutine* owner = owner_of_clock(clock);
  if (owner == nullptr) return read_by_kernel(clock, time);
  if (!writable(time)) return return_errno<int>(-EFAULT);
  *time = to_timespec(cpu_time_of(owner));
  return 0;
}

HOOK(int, clock_getres, (clockid_t clock, timespec* resolution)) {
  if (owner_of_clock(clock) == nullptr) return real::clock_getres(clock, resolution);
  return real::clock_getres(CLOCK_THREAD_CPUTIME_ID, resolution);
}

// Nobody may set one: EPERM, for one that exists.
HOOK(int, clock_settime, (clockid_t clock, const timespec* time)) {
  return real::clock_settime(owner_of_clock(clock) != nullptr ? cpu_clock_of(sys::gettid()) : clock, time);
}

HOOK(int, pthread_getcpuclockid, (pthread_t thread, clockid_t* clock)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_getcpuclockid(thread, clock);
  if (coroutine_ended(target)) return ESRCH;
  *clock = cpu_clock_of(target->tid);
  return 0;
}

HOOK(int, getrusage, (__rusage_who_t who, struct rusage* usage)) {
  if (who != RUSAGE_THREAD || t_local.coroutine == nullptr) return real::getrusage(who, usage);
  if (!writable(usage)) return return_errno<int>(-EFAULT);
  struct rusage own;
  cpu_usage_of(t_local.coroutine, &own);
  *usage = own;
  return 0;
}

// In steps: it can't use more CPU time than passes. One that has ended uses none: only a signal ends that.
int sleep_on_cpu_clock(clockid_t clock, int flags, const timespec* time, timespec* left) {
  constexpr Nanoseconds kShortest = 1000000, kLongest = 1000000000;
  Coroutine* target = owner_of_clock(clock);
  if (target == t_local.coroutine) return EINVAL;
  Nanoseconds until = to_nanoseconds(*time);
  if ((flags & TIMER_ABSTIME) == 0) until += cpu_time_of(target);
  for (;;) {
    target = owner_of_clock(clock);
    Nanoseconds remaining = target == nullptr ? kLongest : until - cpu_time_of(target);
    if (remaining <= 0) return 0;
    timespec step = to_timespec(remaining < kShortest  ? kShortest
                                : remaining > kLongest ? kLongest
                                                       : remaining);
    int error = hook_clock_nanosleep(CLOCK_MONOTONIC, 0, &step, nullptr);
    if (error == 0) continue;
    if ((flags & TIMER_ABSTIME) == 0 && left != nullptr) {
      if (!writable(left)) return EFAULT;
      *left = to_timespec(remaining);
    }
    return error;
  }
}

}  // namespace coshim
