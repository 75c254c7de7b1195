// Time. Nanoseconds on CLOCK_MONOTONIC everywhere inside; the time stamp counter only where a few nanoseconds
// matter and a small error does not (hand-over heuristics, "since when" in the dump).
#pragma once

#include <stdint.h>
#include <time.h>

namespace coshim {

using Nanoseconds = int64_t;
constexpr Nanoseconds kForever = INT64_MAX;

// CLOCK_MONOTONIC now, through the vDSO.
Nanoseconds monotonic_now();
Nanoseconds clock_now(clockid_t clock);
// A system call until native_initialize() has found libc's clock_gettime (past our own hook), which asks the
// vDSO.
extern int (*g_read_clock)(clockid_t, timespec*);

// The CLOCK_MONOTONIC time at which `clock` will show `when`, as far as can be told now. Saturates.
Nanoseconds to_monotonic(clockid_t clock, const timespec& when);
// now + `interval`, saturating to kForever. Negative intervals count as zero.
Nanoseconds deadline_after(Nanoseconds interval);
Nanoseconds to_nanoseconds(const timespec& time);  // saturating
timespec to_timespec(Nanoseconds time);
inline bool valid_timespec(const timespec& time) {
  return time.tv_nsec >= 0 && time.tv_nsec < 1000000000L;
}

inline uint64_t tick_counter() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<uint64_t>(monotonic_now());
#endif
}
// Ticks of tick_counter() a microsecond; measured once by calibrate_clock().
extern uint64_t g_ticks_per_microsecond;
void calibrate_clock();

}  // namespace coshim
