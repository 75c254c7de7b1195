// The stack of a thread that runs: its kernel thread gets a signal and stands still while it is walked.
#pragma once

#include "runtime/diag/backtrace.h"

namespace coshim {

struct Worker;

// Queued with the dump signal, for the kernel thread that the dump looks at. Comes too late: nothing.
constexpr uint32_t kStandStill = 0x434f53ff;

// In the dump signal's handler: stands still until the dump has walked this kernel thread. Async-signal-safe.
void stand_still_for_dump(const void* ucontext);

// Walks kernel thread `tid`, which is on a CPU, while it stands still (at most a fraction of a second). False
// when it could not be had: it blocks the signal, say. `worker`, if it is one: only while it runs
// `coroutine`.
bool walk_running(Unwinder* unwinder, pid_t tid, const Worker* worker, const Coroutine* coroutine,
                  uintptr_t* frames, size_t capacity, size_t* count);

}  // namespace coshim
