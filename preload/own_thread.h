// Calls that change what belongs to the calling thread alone (runtime/sched/own_thread.h).
#pragma once

#include "preload/hook.h"
#include "runtime/sched/own_thread.h"
#include "runtime/thread/lifecycle.h"

namespace coshim {

bool changes_thread_alone(long number, long a, long b);
bool prctl_changes_thread_alone(int option);

// Makes such a call; a negative result is a failure. Of a kernel thread's what fails changes nothing.
template <typename Call>
auto change_alone(Call&& call) {
  const bool kept = runtime_started() && !t_local.vfork_child;
  if (kept && in_coroutine()) keep_kernel_thread();
  auto result = call();
  if (kept && !in_coroutine() && result >= 0) keep_kernel_thread();
  return result;
}

}  // namespace coshim
