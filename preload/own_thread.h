#pragma once

namespace coshim {

// Does this system call change what belongs to the calling thread alone (runtime/sched/own_thread.h)?
bool changes_thread_alone(long number, long a, long b);
bool prctl_changes_thread_alone(int option);

}  // namespace coshim
