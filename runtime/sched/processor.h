// Processors, workers, and what they share (DESIGN §6). A processor is the right to run coroutines; a worker
// is a hidden kernel thread; a worker that owns a processor runs its queue. The names are Go's P and M.
//
// Ownership is decided under the processor's lock: `owner`. A worker whose processor was taken by the monitor
// finds that out the next time it wants to pick a coroutine. Anyone may push onto any processor's queue; a
// push that finds the processor idle turns it running and wakes its worker, so no wake-up is lost.
//
// Lock order: descriptor entry or bucket lock -> processor lock; processor lock -> nothing. timer_lock ->
// nothing.
#pragma once

#include "runtime/base/spin_lock.h"
#include "runtime/sched/run_queue.h"
#include "runtime/thread/handler_stack.h"
#include "runtime/thread/thread.h"
#include "runtime/wait/timer.h"

namespace coshim {

struct CallCounter;

struct alignas(64) Processor {
  SpinLock lock;
  bool idle = true;         // guarded by lock: no worker is looking at the queue
  Worker* owner = nullptr;  // guarded by lock; null: bound to nobody
  RunQueue queue;
  int index = 0;

  // The owner's own; read by the monitor.
  alignas(64) std::atomic<uint64_t> switches{0};
  uint64_t clock = 0;          // tick_counter() when it was last read for a switch
  uint64_t last_round = 0;     // tick_counter() when the scheduler loop was last entered
  uint64_t last_poll = 0;      // tick_counter() of the last non-blocking look at descriptors while busy
  uint64_t backlog_since = 0;  // tick_counter() when a queue was first seen waiting; 0: none

  alignas(64) SpinLock timer_lock;
  TimerHeap timers;

  // The monitor's.
  uint64_t seen_switches = 0;
  Nanoseconds stuck_since = 0;
  Nanoseconds stuck_cpu = 0;  // the owner's CPU time soon after
};

// What remains to be done with a coroutine that was switched away from. yield_locked: the processor's lock is
// still held.
enum class AfterSwitch : uint8_t { nothing, park, yield, yield_locked, exit };
enum SleepStates : uint32_t { kAwake = 0, kSleepsOnFutex = 1, kSleepsInPoller = 2 };

struct Worker {
  // What the scheduler loop left to run a coroutine.
  void* stack_pointer = nullptr;
  uintptr_t fs_base = 0;
  Processor* processor = nullptr;  // bound to; owned only while processor->owner is this worker
  // The coroutine that was switched away from, and what remains to be done with it by whoever runs next here.
  Coroutine* previous = nullptr;
  AfterSwitch after_switch = AfterSwitch::nothing;
  sys::KernelSignalSet kernel_mask = 0;  // the kernel thread's signal mask, as we set it
  bool signals_deferred =
      false;  // a signal was put off on this kernel thread and is blocked until somebody takes it
  std::atomic<Coroutine*> current{nullptr};
  std::atomic<uint32_t> sleep_state{kAwake};
  std::atomic<const char*> blocking_call{nullptr};  // in a blocking region
  std::atomic<uint64_t> blocking_since{0};
  // Set with the processor's lock held when the monitor takes it away while no region is open: what this
  // kernel thread is in, and since when (tick_counter()), until it comes back.
  CallCounter* stuck_call = nullptr;
  uint64_t stuck_since = 0;
  pid_t tid = 0;
  stack_t alternate_stack = {};  // of its kernel thread; a handler may have narrowed what the kernel has
  HandlerStack handler_stacks[kNestedHandlers];  // of the running handlers, t_local.handler_depth of them
  Nanoseconds cpu_clock = 0;  // its CPU time at the switch under way; 0: not read (cpu_time.h)
  int index = 0;
  std::atomic<bool> asked_to_freeze{false};  // the request is under way (shared_switch.h)
  bool stays = false;                        // its kernel thread is never ended
  bool ends = false;                         // it ends with its coroutine (own_thread.h)
  bool dismissed = false;                    // a spare that is one too many: it ends when it wakes
  Worker* next_spare = nullptr;
  Worker* next = nullptr;  // all workers, append-only
};

// `owner` while a worker is being found or made for a processor: nobody else must do so too.
extern Worker g_binding_mark;
inline Worker* const kBinding = &g_binding_mark;

struct Scheduler {
  Processor* processors = nullptr;
  int processor_count = 0;
  std::atomic<int> running{0};           // processors that are not idle
  std::atomic<Worker*> poller{nullptr};  // the worker that blocks in poller_collect
  std::atomic<Nanoseconds> poller_deadline{0};
  std::atomic<bool> monitor_asleep{false};
  std::atomic<Worker*> workers{nullptr};
  std::atomic<int> worker_count{0};
  std::atomic<bool> started{false};
  // Statistics.
  std::atomic<uint64_t> hand_overs{0}, long_calls{0}, steals{0}, worker_wake_ups{0};
  std::atomic<uint64_t> live_workers{0}, peak_workers{0};
  Nanoseconds started_at = 0;
  pid_t process = 0;
};
extern Scheduler g_scheduler;

// Makes processors, poller and monitor. False with a reason where it cannot; the program then runs natively.
bool scheduler_start(int processor_count, const char** reason);
// The child of a fork: no worker is left.
void scheduler_reset_after_fork();

// The next coroutine of the worker's processor; null also where that was taken from it.
inline Coroutine* pop_owned(Worker* worker) {
  Processor* processor = worker->processor;
  SpinGuard guard(processor->lock);
  return processor->owner == worker ? processor->queue.pop() : nullptr;
}

// Puts a coroutine into a run queue. `coroutine` is parked or new. Inside a CriticalSection.
void make_runnable(Coroutine* coroutine);

// Gives the kernel thread to the next coroutine; returns when somebody has made `self` runnable and it was
// picked (never, for exit). Inside a CriticalSection of depth 1.
void switch_away(Coroutine* self, AfterSwitch what);
// What a coroutine does first when it runs, also the first time: finishes the previous one's switch.
void finish_switch();

// sched_yield() of a coroutine.
void yield_coroutine(Coroutine* self);

inline Processor* timer_home(Coroutine*) {
  return t_local.worker->processor;
}

// spare.cpp
// The first worker, and memory for some when memory ends. False: there is no kernel thread to be had.
bool workers_start();
// Gives a running processor whose owner the caller has set to kBinding to a spare or new worker. Where no
// kernel thread can be had, what the processor has to do goes to another one; if none has a worker, the owner
// becomes null, and the monitor tries again.
void bind_worker(Processor* processor);
// Puts a worker that is about to sleep among the spares. False: its kernel thread is to end (own_thread.h).
bool enlist_spare(Worker* worker);
// By a spare that was woken: it is one too many, and its kernel thread is to end.
bool dismissed(Worker* worker);
// The monitor's: ends the kernel threads of spares beyond a few, unless something may be tied to them.
void dismiss_spares();
void workers_reset_after_fork();

// worker.cpp
// Gives the worker's processor, if it still owns one, to another worker.
void give_up_processor(Worker* worker);
void wake_worker(Worker* worker);
bool become_spare(Worker* worker);  // sleeps until given a processor; false: its thread is to end
void worker_loop(Worker* worker);   // returns where its thread is to end
void resume_here(Worker* worker, Coroutine* next,
                 uintptr_t from_fs);  // all that must be set before the swap to `next`
void push_runnable(Processor* processor, Coroutine* coroutine);
bool kick_idle_processor(const Processor* except);  // wakes one idle processor's worker to steal and poll

// After g_watched_signals has grown.
void wait_until_workers_block_watched_signals();

// monitor.cpp
bool monitor_start();
void monitor_wake();         // work began after all was idle
void monitor_wake_always();  // something else is to be done (a dump). Async-signal-safe

}  // namespace coshim
