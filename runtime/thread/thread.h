// Who can run and wait. A Thread is either a Coroutine (a thread of the program that we run) or a kernel
// thread (main, native threads, our own hidden ones). Both wait through the same parker
// (runtime/wait/parker.h).
//
// Records come from type-stable pools and are never unmapped: a late unpark() that reaches a record which has
// been recycled meanwhile is a spurious wake-up, which every waiter expects, never a wild write.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include <atomic>

#include "runtime/base/clock.h"
#include "runtime/base/list.h"
#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"

namespace coshim {

struct Coroutine;
struct Affinity;
struct KeptMutex;
struct CompactStack;
struct CpuAccount;
struct Processor;
struct QueuedSignal;
struct SharedStack;
struct StackSlot;
struct Thread;
struct UnwindStart;
struct Worker;
struct WaitQueueTag;

// What a thread waits for, as the dump names it.
enum class WaitKind : uint8_t {
  none,
  sleep,
  readable,    // object: descriptor number
  writable,    // object: descriptor number
  accepting,   // object: descriptor number
  connecting,  // object: descriptor number
  polling,     // poll, select, epoll_wait; object: const pollfd*
  mutex,
  condition,
  rwlock_read,
  rwlock_write,
  semaphore,
  barrier,
  join,  // object: the Coroutine waited for
  futex,
  once,
  spin,
  signal,
  place,         // for one of COSHIM_BLOCKING places (runtime/sched/places.h)
  blocked_call,  // in the kernel, in a blocking region; object: the call's name (const char*)
};

// Membership in one wait queue (a parking-lot bucket or a descriptor's waiters). `queued` and `signaled` are
// guarded by that queue's lock.
struct WaitNode {
  ListLink<WaitNode> link;
  Thread* thread = nullptr;
  uintptr_t key = 0;     // address or descriptor waited on
  uintptr_t detail = 0;  // the queue owner's use (for example futex bitset, rwlock side)
  bool queued = false;
  bool signaled = false;  // taken off the queue by a waker, for this wait
  bool shared = false;    // a poll-like waiter: woken together with others, consumes nothing
  bool moved = false;     // ... of a descriptor that was closed meanwhile: key is the hidden number
};

enum InterruptBits : uint32_t {
  kInterruptCancel = 1,  // pthread_cancel was called on it
  kInterruptSignal = 2,  // a signal is pending for it
};

struct Thread {
  // The parker's state (runtime/wait/parker.h).
  std::atomic<uint32_t> park_state{0};
  bool is_coroutine = false;
  bool interruptible = false;  // in a wait that ends for signals: their handlers run after it, not inside it
  WaitKind wait_kind = WaitKind::none;
  pid_t tid = 0;  // what gettid() answers in it
  const void* wait_object = nullptr;
  uint64_t wait_since = 0;  // tick_counter() when the wait began
  // While its kernel thread is blocked, by a region or by parking there: where, for the dump.
  std::atomic<const UnwindStart*> blocked_at{nullptr};
  WaitNode wait_node;  // for waits on one thing; lives here, not on the stack, which may be copied away
  std::atomic<bool> follows_clock{
      false};  // in a wait that ends on CLOCK_REALTIME (runtime/wait/program_deadline.h)
  std::atomic<uint32_t> interrupts{0};
  ListLink<Thread> pool_link;
};

// The kind tells what the object is, so it is set after it, and taken away first: the dump must not take a
// descriptor for a pointer.
inline void set_wait(Thread* thread, WaitKind kind, const void* object) {
  thread->wait_object = object;
  std::atomic_signal_fence(std::memory_order_release);
  thread->wait_kind = kind;
}

enum class PlaceKind : uint8_t;

enum class CoroutineState : uint8_t { free, starting, runnable, running, parked, finished };
// Where the bytes of its stack are (runtime/stack/elastic.h).
enum class Residency : uint8_t { resident, saving, saved, restoring };

struct Coroutine : Thread {
  // Hot: touched by every switch.
  void* stack_pointer = nullptr;  // valid while not running
  uintptr_t fs_base = 0;          // its struct pthread: the program's pthread_t
  sys::KernelSignalSet signal_mask = 0;
  Coroutine* queue_next = nullptr;  // run queue; while it is free, the pool
  Processor* processor = nullptr;   // the last one that ran it
  Worker* worker = nullptr;         // t_local.worker as of the last switch to it, found without FS base
  std::atomic<CoroutineState> state{CoroutineState::free};
  std::atomic<Residency> residency{Residency::resident};
  // Bound: waits on its kernel thread (COSHIM_NATIVE names it, or its policy is a real-time one).
  std::atomic<bool> bound{false};
  bool bound_by_name = false;
  bool keeps_thread = false;     // bound for good (runtime/sched/own_thread.h)
  bool policy_in_force = false;  // the kernel thread underneath has its real-time policy
  bool user_stack = false;
  bool exit_called = false;  // pthread_exit was called: `result` is its value
  bool nice_set = false;
  uint64_t switches = 0;
  // Time on a kernel thread, blocking regions not counted, in ticks. The clock is read where a switch knows
  // the time anyhow, so what was measured wrongly here is right on average.
  uint64_t run_ticks = 0, resumed_at = 0;
  std::atomic<CpuAccount*> cpu_account{nullptr};  // once somebody asked (runtime/sched/cpu_time.h)

  // Timed waits (runtime/wait/timer.h); guarded by timer_processor's timer lock.
  Nanoseconds deadline = kForever;
  std::atomic<Processor*> timer_processor{nullptr};
  uint32_t timer_index = 0;

  // Elastic stacks (runtime/stack/elastic.h).
  std::atomic<uint32_t> reached{0};  // system calls in progress that were given an address in it
  CompactStack* saved = nullptr;
  uint64_t resident_since = 0;  // tick_counter() when it was last brought back
  size_t deepest = 0;           // bytes of its stack that the saver has found touched (runtime/stack/depth.h)
  uint64_t left_alone = 0;      // wait_since of a wait during which it is not to be saved or trimmed

  // Shared stacks (runtime/stack/shared_stack.h); null: its stack is its own.
  SharedStack* shared_stack = nullptr;
  void* saved_bytes = nullptr;  // its live bytes, while they are not on the stack
  uint32_t saved_size = 0, saved_capacity = 0;
  std::atomic<uint32_t> frozen{0};       // FreezeState (runtime/sched/shared_switch.h)
  uint32_t freezes = 0;                  // counts
  const void* frozen_context = nullptr;  // the ucontext_t it was frozen in

  // Life.
  uint64_t id = 0;
  StackSlot* slot = nullptr;  // null: TLS and TCB are in a slot of their own (runtime/stack/tls_slot.h)
  void* stack_low = nullptr;  // the bounds that pthread_getattr_np reports
  size_t stack_size = 0;
  size_t guard_size = 0;
  void* (*start_routine)(void*) = nullptr;
  int (*c11_start)(void*) = nullptr;  // thrd_create's routine, which returns int
  void* argument = nullptr;
  void* result = nullptr;
  KeptMutex* kept_mutexes = nullptr;  // process-shared robust ones that it holds (robust.h)
  std::atomic<int> join_state{0};     // JoinState
  // Cancelled while its cancellation was asynchronous: glibc's signal is still to be sent (signals.h).
  std::atomic<bool> cancel_signal_due{false};
  bool in_signal_wait = false;               // in sigwait(), sigsuspend(), ...; guarded by signals.cpp's lock
  bool attention_left = false;               // an attention was sent to it there; guarded by the same lock
  PlaceKind place{};                         // in a blocking region of which there may be so many
  Coroutine* joining = nullptr;              // whom it is joining, for EDEADLK
  std::atomic<uint64_t> pending_signals{0};  // sent by pthread_kill, not yet taken
  QueuedSignal* queued_signals = nullptr;    // their values and repetitions; guarded by signals.cpp's lock
  WaitNode* poll_nodes = nullptr;            // for poll-like waits; grows, stays with the record
  uint32_t poll_capacity = 0;
  uint32_t polled = 0;           // in WaitKind::polling: the length of wait_object
  stack_t alternate_stack = {};  // sigaltstack(2); ss_sp null: none
  char name[16] = {};
  uint64_t created_at = 0;  // tick_counter()
  // Attributes kept and given back (identity, DESIGN §9).
  int schedule_policy = 0;
  int schedule_priority = 0;
  bool own_policy = false;  // not inherited: given with the attributes
  int nice = 0;
  int io_priority = -1;          // ioprio_set(2); negative: not set
  bool named = false;            // `name` counts; else main's name does
  Affinity* affinity = nullptr;  // null: the process's
};

// The thread-local words of ours. Initial-exec, so "who am I" is one FS-relative load. A coroutine's are its
// own, since FS base is switched with it; `worker` is written at every resume. `__thread`, not
// `thread_local`: the latter asks at every use whether it is still to be constructed.
struct ThreadLocal {
  Thread* thread;        // null on a kernel thread until it first waits
  Coroutine* coroutine;  // null on kernel threads
  Coroutine*
      former;  // in the child of a fork: the coroutine that this kernel thread was, on whose stack it stands
  Worker* worker;           // the hidden kernel thread underneath; null on kernel threads of the program
  uint32_t critical;        // > 0: in the runtime, handlers are put off (runtime/thread/critical.h)
  uint32_t handler_depth;   // > 0: in a signal handler of the program
  bool signals_deferred;    // a handler was put off while critical
  bool cleanup_registered;  // the kernel thread's record goes back to the pool when it ends
  bool vfork_child;         // written by the vfork hook: this memory is the parent's, keep no books in it
  bool no_restart;          // since the last wait began, a handler without SA_RESTART ran
  bool mask_deferred;       // deferred_mask is to be restored
  bool changed_alone;       // a kernel thread that has changed what is its own (runtime/sched/own_thread.h)
  bool hidden;              // a kernel thread of ours that runs no coroutines: monitor, saver, ...
  bool faults_blocked;      // a kernel thread whose program blocks a signal of sys::g_never_blocked
  uint32_t handlers_run;    // counts
  sys::KernelSignalSet deferred_mask;  // kernel threads, and handlers
};
extern __thread ThreadLocal t_local __attribute__((tls_model("initial-exec")));

inline Coroutine* current_coroutine() {
  return t_local.coroutine;
}
// True where a blocking call should park: on a coroutine, and not inside a signal handler, which must not
// yield (it may have interrupted malloc; then the call blocks its kernel thread, and the monitor hands the
// processor on).
inline bool in_coroutine() {
  return t_local.coroutine != nullptr && t_local.handler_depth == 0;
}

Thread* make_kernel_thread_record();
// The calling thread's record, whichever kind it is.
inline Thread* current_thread() {
  Thread* thread = t_local.thread;
  return thread != nullptr ? thread : make_kernel_thread_record();
}

// The coroutine behind a pthread_t, or null where it is a kernel thread. Every valid pthread_t is a TCB with
// our thread-local words at one fixed distance, so this is one load. (An invalid one is undefined behaviour
// natively too.)
Coroutine* coroutine_of(pthread_t thread);

}  // namespace coshim
