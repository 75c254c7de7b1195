// Choosing what runs next: the switch from one coroutine to another, and the pushes that make one runnable.
#include "preload/swap/swap.h"
#include "runtime/base/log.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/stack/elastic.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parker.h"

namespace coshim {

Scheduler g_scheduler;
Worker g_binding_mark;

namespace {

// After this long of direct switches a worker goes through its scheduler loop once: timers, descriptors,
// other queues.
constexpr uint64_t kRoundMicroseconds = 50;

// The next coroutine of the processor, if `worker` still owns it and no round is due.
Coroutine* pick_directly(Worker* worker, uint64_t now) {
  Processor* processor = worker->processor;
  if (processor == nullptr) return nullptr;
  if (processor->last_round == 0 ||
      now > processor->last_round + kRoundMicroseconds * g_ticks_per_microsecond)
    return nullptr;
  processor->lock.lock();
  Coroutine* next = processor->owner == worker ? processor->queue.pop() : nullptr;
  if (next != nullptr && worker->after_switch == AfterSwitch::yield) {
    // One lock for both halves: the next one puts us into the queue and releases it.
    worker->after_switch = AfterSwitch::yield_locked;
  } else {
    processor->lock.unlock();
  }
  return next;
}

// A yield (now 0) is charged what the processor's clock says; a thread whose processor was taken has its own.
inline void count_run_time(const Worker* worker, Coroutine* self, uint64_t now) {
  Processor* processor = worker->processor;
  if (now == 0) now = processor != nullptr ? processor->clock : self->resumed_at;
  if (now > self->resumed_at) self->run_ticks += now - self->resumed_at;
  if (processor != nullptr) processor->clock = now;
}

// Where a thread that is on no worker puts what it woke: a processor that runs already will see it soon, and
// waking another core is the dearest thing there is.
Processor* choose_processor(const Coroutine* coroutine) {
  Processor* home = coroutine->processor != nullptr ? coroutine->processor : &g_scheduler.processors[0];
  if (g_scheduler.running.load(std::memory_order_relaxed) == 0 || !home->idle) return home;
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    if (!g_scheduler.processors[i].idle) return &g_scheduler.processors[i];
  }
  return home;
}

// The two halves of a switch, with a place of their own in switch_away(): it is the path that counts.
[[gnu::always_inline]] inline void set_up(Worker* worker, Coroutine* next, uintptr_t from_fs) {
  Processor* processor = worker->processor;
  COSHIM_CHECK_DEBUG(next->state.load() != CoroutineState::running);
  next->processor = processor;
  next->resumed_at = processor->clock;
  if (cpu_accounting()) cpu_enter(worker, next);
  next->state.store(CoroutineState::running, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the saver's membarrier does the rest
  if (__builtin_expect(next->residency.load(std::memory_order_relaxed) != Residency::resident, 0)) {
    elastic_bring_back(next);
  }
  next->worker = worker;
  tcb_thread_local(next->fs_base)->worker = worker;
  move_malloc_words(from_fs, next->fs_base);
  worker->current.store(next, std::memory_order_relaxed);
  processor->switches.store(processor->switches.load(std::memory_order_relaxed) + 1,
                            std::memory_order_relaxed);
  if (__builtin_expect(next->signal_mask != worker->kernel_mask, 0)) {
    worker->kernel_mask = next->signal_mask;
    sys::set_signal_mask(SIG_SETMASK, &next->signal_mask, nullptr);
  }
}

[[gnu::always_inline]] inline void finish_here(Worker* worker) {
  Coroutine* previous = worker->previous;
  worker->previous = nullptr;
  if (__builtin_expect(worker->signals_deferred, 0)) t_local.signals_deferred = true;
  if (previous == nullptr) return;
  if (__builtin_expect(previous->shared_stack != nullptr, 0)) {
    step_off_shared_stack(previous, worker->after_switch == AfterSwitch::exit);
  }
  switch (worker->after_switch) {
    case AfterSwitch::park: {
      previous->state.store(CoroutineState::parked, std::memory_order_relaxed);
      uint32_t expected = kParking;
      if (!previous->park_state.compare_exchange_strong(expected, kParked, std::memory_order_acq_rel)) {
        make_runnable(previous);  // was notified between its decision and now
      }
      break;
    }
    case AfterSwitch::yield_locked:
      previous->state.store(CoroutineState::runnable, std::memory_order_relaxed);
      previous->processor->queue.push(previous);
      previous->processor->lock.unlock();
      break;
    case AfterSwitch::yield:
      make_runnable(previous);
      break;
    case AfterSwitch::exit:
      coroutine_switched_off(previous);
      break;
    case AfterSwitch::nothing:
      break;
  }
}

}  // namespace

void push_runnable(Processor* processor, Coroutine* coroutine) {
  processor->lock.lock();
  processor->queue.push(coroutine);
  bool was_idle = processor->idle;
  Worker* owner = processor->owner;
  if (was_idle) {
    processor->idle = false;
    g_scheduler.running.fetch_add(1, std::memory_order_seq_cst);
    if (owner == nullptr) processor->owner = kBinding;
  }
  processor->lock.unlock();
  if (!was_idle) return;
  if (owner == nullptr) {
    bind_worker(processor);
  } else if (owner != t_local.worker) {
    wake_worker(owner);
  }
  if (g_scheduler.monitor_asleep.load(std::memory_order_seq_cst)) monitor_wake();
}

void make_runnable(Coroutine* coroutine) {
  coroutine->state.store(CoroutineState::runnable, std::memory_order_relaxed);
  Worker* worker = t_local.worker;
  Processor* processor = worker != nullptr ? worker->processor : nullptr;
  push_runnable(processor != nullptr ? processor : choose_processor(coroutine), coroutine);
}

void resume_here(Worker* worker, Coroutine* next, uintptr_t from_fs) {
  set_up(worker, next, from_fs);
}

void switch_away(Coroutine* self, AfterSwitch what) {
  COSHIM_CHECK_DEBUG(t_local.critical == 1 && t_local.worker == self->worker);
  Worker* worker = self->worker;
  // A yield need not know the time exactly: its caller looks at the clock now and then.
  uint64_t now = what == AfterSwitch::park ? self->wait_since : 0;
  worker->previous = self;
  worker->after_switch = what;
  self->switches++;
  count_run_time(worker, self, now);
  if (cpu_accounting()) cpu_leave(worker, self);
  Coroutine* next = pick_directly(worker, now);
  COSHIM_CHECK_DEBUG(next != self);
  if (__builtin_expect(g_shared_stacks, 0)) {
    switch_shared_stacks(worker, self, next);
  } else if (next != nullptr) {
    set_up(worker, next, self->fs_base);
    g_swap(&self->stack_pointer, next->stack_pointer, next->fs_base);
  } else {
    move_malloc_words(self->fs_base, worker->fs_base);
    worker->current.store(nullptr, std::memory_order_relaxed);
    g_swap(&self->stack_pointer, worker->stack_pointer, worker->fs_base);
  }
  // Not t_local.worker: FS base was loaded a moment ago, and what depends on it waits.
  finish_here(self->worker);
}

void finish_switch() {
  finish_here(t_local.worker);
}

void yield_coroutine(Coroutine* self) {
  constexpr uint64_t kYieldsALook = 32;
  if (__builtin_expect(self->bound.load(std::memory_order_relaxed), 0)) {
    sys::yield();
    return;
  }
  Processor* processor = self->worker->processor;
  bool alone = processor->queue.length() == 0;
  // Nobody to yield to here: other kernel threads perhaps.
  if (alone) sys::yield();
  if (alone || self->switches % kYieldsALook == 0) {
    uint64_t now = tick_counter();
    bool round_due = now > processor->last_round + kRoundMicroseconds * g_ticks_per_microsecond;
    if (alone && !round_due) return;
    if (round_due) processor->last_round = 0;  // timers and descriptors first
  }
  CriticalSection critical;
  switch_away(self, AfterSwitch::yield);
}

}  // namespace coshim
