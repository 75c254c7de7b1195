// System calls by number about a coroutine's scheduling (syscall(2)): sched_setattr(2) and the ioprio calls
// have no function in libc, and GLib's pools of threads make them.
#pragma once

#include <sched.h>

#include "runtime/thread/thread.h"

namespace coshim {

constexpr long kNotAboutCoroutines = -4096;

// sched_setscheduler(2), sched_setparam(2) and sched_getparam(2) for a coroutine: 0 or -errno.
long set_priority_parameter(Coroutine* target, long policy, const sched_param* parameters);
long get_priority_parameter(const Coroutine* target, sched_param* parameters);

// The kernel's result, or kNotAboutCoroutines: it is the real call's business.
long scheduling_call(long number, long a, long b, long c);

}  // namespace coshim
