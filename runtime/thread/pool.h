// Type-stable pools of coroutine and kernel-thread records: taken and given back, never unmapped.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

Coroutine* acquire_coroutine();  // null when memory ends; `id` and `tid` are fresh
void release_coroutine(Coroutine* coroutine);

// Calls visit(coroutine, context) for every record that is not free. Without a lock on the records: fields
// may change meanwhile.
void for_each_coroutine(void (*visit)(Coroutine*, void*), void* context);

// The live coroutine that gettid() answers `tid` in; null: none. Looks at all of them.
Coroutine* coroutine_by_tid(pid_t tid);

// Where a debugger finds the records (preload/debugger.cpp).
struct PoolLayout {
  const void* first_block;        // where the pointer to the first block is
  uint32_t next, count, records;  // offsets in a block
};
extern const PoolLayout g_pool_layout;

// All records of kernel threads, those that are free included. No lock.
void for_each_kernel_thread(void (*visit)(Thread*));

// The record of a kernel thread of the program that has waited; null: none. No lock: for the dump.
const Thread* kernel_thread_by_tid(pid_t tid);

struct CoroutineCounts {
  uint64_t created, alive, peak;
};
CoroutineCounts coroutine_counts();

// In the child of a fork only `self` (null: none) lived on, as a kernel thread: all records are free again,
// except that its own, whose stack it stands on, is kept.
void abandon_coroutines_after_fork(Coroutine* self);

// Held across fork(), so that the child finds the pools whole.
void lock_pools_for_fork();
void unlock_pools_after_fork(bool child);

}  // namespace coshim
