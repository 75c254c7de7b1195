// Robust mutexes of a thread that ends while it holds them. For kernel threads the kernel walks the list
// (get_robust_list(2)); for coroutines we do, by the same rules.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

// On the ending coroutine itself: marks FUTEX_OWNER_DIED in each mutex of its list and wakes a waiter.
void release_robust_mutexes(Coroutine* self);

}  // namespace coshim
