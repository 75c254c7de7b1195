// All threads of the program at about one moment, taken without stopping them: each by itself is consistent
// (what changed while it was looked at is looked at again), and cycles of locks are looked at twice.
#pragma once

#include "runtime/diag/backtrace.h"
#include "runtime/sched/call_counters.h"
#include "runtime/thread/thread.h"

namespace coshim {

constexpr size_t kMaximumFrames = 64;
constexpr uint32_t kNone = ~0U;

struct ThreadRecord {
  uint64_t id;  // 0: a kernel thread of the program's: main, or one that stays native
  pid_t tid;
  char name[16];
  CoroutineState state;
  WaitKind wait;
  bool timed;          // the wait ends by itself
  bool stack_is_user;  // pthread_attr_setstack's
  Residency residency;
  const void* object;  // what WaitKind says
  const char* call;    // in the kernel in it; null: not
  uint64_t since;      // tick_counter() when the state began; 0: unknown
  uint64_t switches;
  uint64_t cpu_nanoseconds;
  uintptr_t start_routine;
  size_t stack_size, stack_used, stack_touched, stack_deepest;  // bytes; 0: unknown
  uint32_t polled;
  uint32_t backtrace;  // index; kNone: none
  // Whom it waits for: mutex, write-locked rwlock, join.
  pid_t holder;           // tid; 0: nobody, or unknown
  uint32_t holder_index;  // kNone: no living thread
  uint32_t readers;       // of an rwlock
  uint32_t waiters;       // how many wait for what this one holds
  uint32_t cycle;         // 1...: number of the deadlock that it is part of
  const Coroutine* coroutine;
};

struct Backtrace {
  uint64_t hash;
  uint32_t first, count;  // in frames()
  uint32_t threads;       // how many have it
};

class Snapshot {
 public:
  Snapshot(Modules* modules, Unwinder* unwinder);
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  uint64_t now() const { return now_; }
  size_t count() const { return count_; }
  size_t left_out() const { return left_out_; }  // no memory for them
  // In the order of their ids, kernel threads first.
  const ThreadRecord& thread(size_t place) const { return records_[order_[place]]; }
  const ThreadRecord& by_index(uint32_t index) const { return records_[index]; }
  size_t backtrace_count() const { return backtrace_count_; }
  const Backtrace& backtrace(uint32_t index) const { return backtraces_[index]; }
  const uintptr_t* frames(const Backtrace& backtrace) const { return frames_ + backtrace.first; }
  uint32_t deadlocks() const { return deadlocks_; }
  // The first member of deadlock `number`; the next one is its holder_index.
  uint32_t first_of(uint32_t number) const;

 private:
  static void take_one(Coroutine* coroutine, void* self);
  void take_coroutine(Coroutine* coroutine);
  bool try_coroutine(Coroutine* coroutine, ThreadRecord* record);
  size_t walk(const Coroutine* coroutine, ThreadRecord* record, uintptr_t* frames);
  uint64_t cpu_ticks(const ThreadRecord& record) const;
  size_t walk_kernel_thread(pid_t tid, const Worker* worker, const Coroutine* coroutine,
                            const KernelPosition& position, uintptr_t* frames);
  void take_kernel_threads();
  void take_kernel_thread(pid_t tid, const char* name);
  uint32_t intern(const uintptr_t* frames, size_t count);
  void find_holders();
  uint32_t index_of(pid_t tid) const;
  void find_deadlocks();
  bool still_deadlocked(uint32_t first) const;
  void sort();

  Modules* modules_;
  Unwinder* unwinder_;
  uint64_t now_;
  void* memory_ = nullptr;  // null: the small fixed one
  size_t memory_size_ = 0;
  size_t capacity_, frame_capacity_, hash_size_;
  ThreadRecord* records_;
  Backtrace* backtraces_;
  uint32_t* order_;
  uint32_t* backtrace_hash_;  // open addressing, index + 1
  uint32_t* tid_hash_;
  uintptr_t* frames_;
  size_t count_ = 0, left_out_ = 0, backtrace_count_ = 0, frame_count_ = 0;
  uint32_t deadlocks_ = 0;
  Nanoseconds patience_ = 1000000000;  // for threads that have to be stopped
};

// Whom a thread that waits like this waits for; 0: unknown. *readers: of an rwlock.
pid_t holder_of(WaitKind wait, const void* object, uint32_t* readers);
uintptr_t start_routine_of(const Coroutine* coroutine);

}  // namespace coshim
