// The CPU-time clocks of coroutines, by their numbers (preload/cpu_clock.cpp).
#pragma once

#include <time.h>

#include "runtime/thread/thread.h"

namespace coshim {

// Whose clock this is; null: nobody's that we know.
Coroutine* owner_of_clock(clockid_t clock);
// clock_nanosleep(2) on it: the result is 0 or an error number.
int sleep_on_cpu_clock(clockid_t clock, int flags, const timespec* time, timespec* left);

}  // namespace coshim
