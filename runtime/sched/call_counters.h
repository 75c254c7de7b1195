// What blocked kernel threads, by name: a fixed table, written by whoever blocks or finds one blocked, read
// by the dump and the statistics.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <atomic>

#include "runtime/diag/statistics_layout.h"

namespace coshim {

// What lasts this long has surely blocked its kernel thread.
constexpr uint64_t kBlockedMicroseconds = 100;

struct CallCounter {
  std::atomic<const char*> name{nullptr};  // set once; a static text
  std::atomic<uint64_t> calls{0}, blocked{0}, ticks{0};
  BlockedCallKind kind = BlockedCallKind::region;
};

// The counter of `name`, made at its first use; the same text at two addresses may have two. When the table
// is full: the one called "other". Never null. No lock.
CallCounter* call_counter(const char* name, BlockedCallKind kind);
// A call that has ended, after this time.
void count_call(CallCounter* counter, uint64_t ticks);

// The system call that kernel thread `tid` of this process stands in, as a static text; null: it stands in
// none, or it can't be had. `runnable`: it is on a CPU, or waits for one.
struct KernelPosition {
  const char* call = nullptr;
  bool runnable = false;
  uintptr_t stack_pointer = 0, address = 0;  // of the instruction behind the call
};
KernelPosition kernel_position(pid_t tid);

constexpr size_t kCallCounters = kBlockedCalls;
extern CallCounter g_call_counters[kCallCounters];

}  // namespace coshim
