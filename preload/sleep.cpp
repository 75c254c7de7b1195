// Sleeps: park until the deadline.
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/cpu_clock.h"
#include "preload/hook.h"
#include "preload/user_memory.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parker.h"
#include "runtime/wait/program_deadline.h"

namespace coshim {

namespace {

// 0, or -EINTR after a signal handler ran: sleeps are never restarted (signal(7)).
long sleep_until(const ProgramDeadline& deadline) {
  Thread* self = current_thread();
  FollowsClock follows(self, deadline);
  for (;;) {
    {
      WaitReason reason(self, WaitKind::sleep, nullptr);
      while (self->interrupts.load(std::memory_order_acquire) == 0) {
        Nanoseconds until = deadline.monotonic();
        if (monotonic_now() >= until) return 0;
        park(self, until);
      }
    }
    bool was_signal = (self->interrupts.load(std::memory_order_acquire) & kInterruptSignal) != 0;
    cancellation_point();
    restart_after_signal();
    if (was_signal) return -EINTR;
  }
}

// One that ends early says what is left (nanosleep(2)).
int sleep_for(Nanoseconds interval, timespec* left) {
  cancellation_point();
  Nanoseconds deadline = deadline_after(interval);
  timespec end = to_timespec(deadline);
  long result = sleep_until({CLOCK_MONOTONIC, &end});
  if (result == 0 || left == nullptr) return static_cast<int>(-result);
  if (!writable(left)) return EFAULT;
  *left = to_timespec(deadline - monotonic_now());
  return static_cast<int>(-result);
}

bool valid_interval(const timespec* time) {
  return readable(time) && time->tv_sec >= 0 && valid_timespec(*time);
}

}  // namespace

HOOK(int, nanosleep, (const timespec* interval, timespec* left)) {
  if (!in_coroutine() || !valid_interval(interval)) return real::nanosleep(interval, left);
  return return_errno<int>(-sleep_for(to_nanoseconds(*interval), left));
}

HOOK(int, clock_nanosleep, (clockid_t clock, int flags, const timespec* time, timespec* left)) {
  bool ours = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
  if (!ours && clock < 0 && valid_interval(time) && owner_of_clock(clock) != nullptr)
    return sleep_on_cpu_clock(clock, flags, time, left);
  if (!in_coroutine() || !valid_interval(time)) return real::clock_nanosleep(clock, flags, time, left);
  if (!ours) {
    BlockingRegion region("clock_nanosleep");
    return real::clock_nanosleep(clock, flags, time, left);
  }
  if ((flags & TIMER_ABSTIME) == 0) return sleep_for(to_nanoseconds(*time), left);
  cancellation_point();
  return static_cast<int>(-sleep_until({clock, time}));
}

HOOK(unsigned, sleep, (unsigned seconds)) {
  if (!in_coroutine()) return real::sleep(seconds);
  timespec left{};
  int saved = errno;
  if (sleep_for(static_cast<Nanoseconds>(seconds) * 1000000000, &left) == 0) return 0;
  errno = saved;
  return static_cast<unsigned>(left.tv_sec + (left.tv_nsec >= 500000000 ? 1 : 0));
}

HOOK(int, usleep, (useconds_t microseconds)) {
  if (!in_coroutine()) return real::usleep(microseconds);
  return return_errno<int>(-sleep_for(static_cast<Nanoseconds>(microseconds) * 1000, nullptr));
}

HOOK(int, thrd_sleep, (const timespec* interval, timespec* left)) {
  if (!in_coroutine() || !valid_interval(interval)) return real::thrd_sleep(interval, left);
  int saved = errno;
  int error = sleep_for(to_nanoseconds(*interval), left);
  errno = saved;
  return error == 0 ? 0 : -1;
}

}  // namespace coshim
