// System calls by number about a coroutine's scheduling (syscall(2)): sched_setattr(2) and the ioprio calls
// have no function in libc, and GLib's pools of threads make them.
#pragma once

namespace coshim {

constexpr long kNotAboutCoroutines = -4096;

// The kernel's result, or kNotAboutCoroutines: it is the real call's business.
long scheduling_call(long number, long a, long b, long c);

}  // namespace coshim
