// CPU time of coroutines: CLOCK_THREAD_CPUTIME_ID, pthread_getcpuclockid(3), getrusage(RUSAGE_THREAD). Nobody
// pays until somebody asks: from then on every switch reads its kernel thread's clock, and what that counted
// between two switches is the coroutine's, exactly. What a coroutine used before is known from run_ticks,
// which counts as used also the time for which the kernel had its thread wait for a CPU.
#pragma once

#include <sys/resource.h>

#include "runtime/sched/processor.h"

namespace coshim {

enum class CpuAccounting : uint8_t { none, time, usage };
extern std::atomic<CpuAccounting> g_cpu_accounting;

// At a switch, in a CriticalSection.
void cpu_leave(Worker* worker, Coroutine* coroutine);
void cpu_enter(Worker* worker, Coroutine* coroutine);
inline bool cpu_accounting() {
  return __builtin_expect(g_cpu_accounting.load(std::memory_order_relaxed) != CpuAccounting::none, 0);
}

// Any coroutine's, from any thread. Async-signal-safe.
Nanoseconds cpu_time_of(Coroutine* coroutine);
// The calling one's, as RUSAGE_THREAD.
void cpu_usage_of(Coroutine* self, rusage* usage);

void cpu_accounting_reset_after_fork();
// A record begins a new life.
void cpu_reset(Coroutine* coroutine);

// Linux's clock of a thread's CPU time by its tid, the kernel's MAKE_THREAD_CPUCLOCK(tid, CPUCLOCK_SCHED).
constexpr clockid_t cpu_clock_of(pid_t tid) {
  return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 6);
}
// The other way; 0: no such clock. (CPUCLOCK_PROF and CPUCLOCK_VIRT, 4 and 5, count ticks natively.)
constexpr pid_t thread_of_cpu_clock(clockid_t clock) {
  return clock < 0 && (clock & 4) != 0 && (clock & 3) != 3 ? ~(clock >> 3) : 0;
}

}  // namespace coshim
