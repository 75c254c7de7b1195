#include "runtime/base/clock.h"

#include "runtime/base/system_call.h"

namespace coshim {

uint64_t g_ticks_per_microsecond = 1000;

namespace {
int read_clock_by_system_call(clockid_t clock, timespec* time) {
  return static_cast<int>(sys::call(SYS_clock_gettime, clock, time));
}
}  // namespace
int (*g_read_clock)(clockid_t, timespec*) = &read_clock_by_system_call;

Nanoseconds to_nanoseconds(const timespec& time) {
  if (time.tv_sec >= kForever / 1000000000LL) return kForever;
  if (time.tv_sec <= -(kForever / 1000000000LL)) return -kForever;
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

timespec to_timespec(Nanoseconds time) {
  if (time < 0) time = 0;
  return timespec{static_cast<time_t>(time / 1000000000LL), static_cast<long>(time % 1000000000LL)};
}

Nanoseconds clock_now(clockid_t clock) {
  timespec now{};
  if (g_read_clock(clock, &now) != 0) return 0;
  return to_nanoseconds(now);
}

Nanoseconds monotonic_now() {
  return clock_now(CLOCK_MONOTONIC);
}

Nanoseconds deadline_after(Nanoseconds interval) {
  if (interval <= 0) return monotonic_now();
  Nanoseconds now = monotonic_now();
  return interval >= kForever - now ? kForever : now + interval;
}

Nanoseconds to_monotonic(clockid_t clock, const timespec& when) {
  Nanoseconds target = to_nanoseconds(when);
  if (clock == CLOCK_MONOTONIC) return target;
  if (target == kForever) return kForever;
  Nanoseconds remaining;
  if (__builtin_sub_overflow(target, clock_now(clock), &remaining)) return 0;  // far in the past
  return remaining <= 0 ? 0 : deadline_after(remaining);
}

// The counter runs at a constant rate on every x86-64 that Linux accepts as clock source; the estimate
// sharpens with the time between the two readings, and a per cent is enough here.
void calibrate_clock() {
  Nanoseconds start = monotonic_now();
  uint64_t ticks = tick_counter();
  Nanoseconds elapsed;
  do {
    elapsed = monotonic_now() - start;
  } while (elapsed < 50000);
  uint64_t rate = (tick_counter() - ticks) * 1000 / static_cast<uint64_t>(elapsed);
  g_ticks_per_microsecond = rate == 0 ? 1 : rate;
}

}  // namespace coshim
