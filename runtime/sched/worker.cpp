// Workers: the hidden kernel threads, their scheduler loop, and how they sleep and are woken.
#include "preload/swap/swap.h"
#include "runtime/base/log.h"
#include "runtime/io/poller.h"
#include "runtime/sched/call_counters.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

constexpr uint64_t kBacklogMicroseconds = 200;
constexpr uint64_t kPollMicroseconds = 40;

bool owns(const Worker* worker) {
  Processor* processor = worker->processor;
  if (processor == nullptr) return false;
  SpinGuard guard(processor->lock);
  return processor->owner == worker;
}

void fire_timers(Processor* processor, Nanoseconds now) {
  for (;;) {
    Coroutine* due;
    {
      SpinGuard guard(processor->timer_lock);
      due = processor->timers.pop_due(now);
      if (due != nullptr) due->timer_processor.store(nullptr, std::memory_order_relaxed);
    }
    if (due == nullptr) return;
    unpark(due);
  }
}

bool steal(Worker* worker) {
  Processor* mine = worker->processor;
  int count = g_scheduler.processor_count;
  for (int i = 1; i < count; ++i) {
    Processor* victim = &g_scheduler.processors[(mine->index + i) % count];
    if (victim->queue.length() == 0) continue;
    // One lock at a time: take into a private queue first.
    RunQueue taken;
    {
      SpinGuard guard(victim->lock);
      if (!victim->queue.empty()) victim->queue.give_half(taken);
    }
    if (taken.empty()) continue;
    g_scheduler.steals.fetch_add(1, std::memory_order_relaxed);
    // By the ordinary way: the monitor may have taken `mine` meanwhile, and its new worker be asleep.
    while (Coroutine* coroutine = taken.pop()) push_runnable(mine, coroutine);
    return true;
  }
  return false;
}

// Wakes a second processor when runnable coroutines have been waiting here for a while.
void look_at_backlog(Processor* processor, uint64_t now) {
  if (g_scheduler.processor_count == 1) return;
  if (processor->queue.length() < 2) {
    processor->backlog_since = 0;
  } else if (processor->backlog_since == 0) {
    processor->backlog_since = now;
  } else if (now - processor->backlog_since > kBacklogMicroseconds * g_ticks_per_microsecond) {
    processor->backlog_since = 0;
    kick_idle_processor(processor);
  }
}

Nanoseconds earliest_deadline() {
  Nanoseconds earliest = kForever;
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    Nanoseconds deadline = g_scheduler.processors[i].timers.earliest();
    if (deadline < earliest) earliest = deadline;
  }
  return earliest;
}

// A worker that goes to sleep while another one blocks in the poller: that one must wake for our earliest
// timer.
void hand_timers_to_poller(Processor* processor) {
  if (processor == nullptr) return;
  if (g_scheduler.poller.load(std::memory_order_seq_cst) != nullptr &&
      processor->timers.earliest() < g_scheduler.poller_deadline.load(std::memory_order_seq_cst)) {
    poller_wake();
  }
}

void block_signals(Worker* worker) {
  sys::KernelSignalSet all = sys::kAllSignals;
  if (worker->kernel_mask == all) return;
  worker->kernel_mask = all;
  sys::set_signal_mask(SIG_SETMASK, &all, nullptr);
}

// On its own stack, a worker still has the mask of the coroutine that ran last. That is right for signals
// that main accepts too: the kernel prefers main.
bool accepts_only_what_main_does(const Worker* worker) {
  sys::KernelSignalSet mask = __atomic_load_n(&worker->kernel_mask, __ATOMIC_RELAXED);
  return (g_watched_signals.load(std::memory_order_seq_cst) & ~mask) == 0;
}

// A signal that was put off on this kernel thread must not sleep with it.
void hand_out_deferred_signals(Worker* worker) {
  if (!worker->signals_deferred) return;
  block_signals(worker);
  worker->signals_deferred = false;
  hand_out_signals(true);
}

void sleep_on_futex(Worker* worker) {
  block_signals(worker);
  while (worker->sleep_state.load(std::memory_order_acquire) == kSleepsOnFutex) {
    sys::futex_wait(&worker->sleep_state, kSleepsOnFutex, nullptr);
  }
}

void sleep_in_poller(Worker* worker) {
  uint32_t expected = kSleepsOnFutex;
  if (worker->sleep_state.compare_exchange_strong(expected, kSleepsInPoller)) {
    // Until our own answer stands there, anyone with a timer wakes us.
    g_scheduler.poller_deadline.store(kForever, std::memory_order_seq_cst);
    Nanoseconds deadline = earliest_deadline();
    g_scheduler.poller_deadline.store(deadline, std::memory_order_seq_cst);
    // Nanosecond deadlines in the past poll without blocking.
    poller_collect(deadline <= 0 ? 1 : deadline);
    worker->sleep_state.store(kAwake, std::memory_order_seq_cst);
  }
  g_scheduler.poller.store(nullptr, std::memory_order_seq_cst);
  // The monitor may have taken our processor while we woke, and its new worker have gone to sleep because
  // there was a poller still: then somebody has to become one.
  if (!owns(worker) && g_scheduler.running.load(std::memory_order_seq_cst) == 0) kick_idle_processor(nullptr);
}

// The processor is turned running again by whoever pushes to it; after a sleep that ended otherwise, by
// ourselves.
void turn_running(Worker* worker) {
  Processor* processor = worker->processor;
  SpinGuard guard(processor->lock);
  if (processor->owner == worker && processor->idle) {
    processor->idle = false;
    g_scheduler.running.fetch_add(1, std::memory_order_seq_cst);
  }
}

void go_idle(Worker* worker) {
  hand_out_deferred_signals(worker);
  Processor* processor = worker->processor;
  int running;
  {
    SpinGuard guard(processor->lock);
    if (processor->owner != worker || !processor->queue.empty()) return;
    COSHIM_CHECK_DEBUG(!processor->idle);
    processor->idle = true;
    worker->sleep_state.store(kSleepsOnFutex, std::memory_order_seq_cst);
    running = g_scheduler.running.fetch_sub(1, std::memory_order_seq_cst) - 1;
  }
  Worker* nobody = nullptr;
  if (running == 0 && g_scheduler.poller.compare_exchange_strong(nobody, worker, std::memory_order_seq_cst)) {
    sleep_in_poller(worker);
  } else {
    hand_timers_to_poller(processor);
    sleep_on_futex(worker);
  }
  turn_running(worker);
  if (g_scheduler.monitor_asleep.load(std::memory_order_seq_cst)) monitor_wake();
}

void fire_due_timers(Processor* processor) {
  if (processor->timers.earliest() == kForever) return;
  Nanoseconds now = monotonic_now();
  if (processor->timers.earliest() <= now) fire_timers(processor, now);
}

// A non-blocking look at descriptors is due when others wait their turn for long, or when we are about to
// sleep while somebody else runs; a worker that is about to sleep alone blocks in the poller anyway.
void look_at_descriptors(Processor* processor, uint64_t now) {
  if (processor->queue.length() != 0) {
    if (now - processor->last_poll < kPollMicroseconds * g_ticks_per_microsecond) return;
  } else if (g_scheduler.running.load(std::memory_order_relaxed) == 1 &&
             g_scheduler.poller.load(std::memory_order_relaxed) == nullptr) {
    return;
  }
  processor->last_poll = now;
  poller_collect(0);
}

// The next coroutine to run; null when the processor was taken away. Sleeps while there is nothing.
Coroutine* find_runnable(Worker* worker) {
  for (;;) {
    if (!accepts_only_what_main_does(worker)) block_signals(worker);
    if (!owns(worker)) return nullptr;
    Processor* processor = worker->processor;
    uint64_t now = tick_counter();
    processor->last_round = processor->clock = now;
    look_at_backlog(processor, now);
    // Also those of processors that nobody runs at the moment.
    for (int i = 0; i < g_scheduler.processor_count; ++i) {
      Processor* each = &g_scheduler.processors[i];
      if (each == processor || each->idle) fire_due_timers(each);
    }
    look_at_descriptors(processor, now);
    if (Coroutine* next = pop_owned(worker)) return next;
    if (steal(worker)) continue;
    go_idle(worker);
  }
}

bool kick(Processor* processor, bool owned) {
  Worker* owner;
  {
    SpinGuard guard(processor->lock);
    owner = processor->owner;
    if (!processor->idle || (owner != nullptr) != owned) return false;
    processor->idle = false;
    g_scheduler.running.fetch_add(1, std::memory_order_seq_cst);
    if (!owned) processor->owner = kBinding;
  }
  if (owned) {
    wake_worker(owner);
  } else {
    bind_worker(processor);
  }
  return true;
}

}  // namespace

void wake_worker(Worker* worker) {
  switch (worker->sleep_state.exchange(kAwake, std::memory_order_seq_cst)) {
    case kSleepsOnFutex:
      g_scheduler.worker_wake_ups.fetch_add(1, std::memory_order_relaxed);
      sys::futex_wake(&worker->sleep_state, 1);
      break;
    case kSleepsInPoller:
      g_scheduler.worker_wake_ups.fetch_add(1, std::memory_order_relaxed);
      poller_wake();
      break;
    default:
      break;
  }
}

void wait_until_workers_block_watched_signals() {
  constexpr int kPatience = 10000;
  for (int round = 0; round < kPatience; ++round) {
    bool done = true;
    for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
      bool idle = worker->tid != 0 && worker->current.load(std::memory_order_seq_cst) == nullptr;
      if (idle && !accepts_only_what_main_does(worker)) done = false;
    }
    if (done) return;
    if (g_scheduler.poller.load() != nullptr) poller_wake();
    sys::yield();
  }
}

// One with a worker rather than one for which it would have to be made.
bool kick_idle_processor(const Processor* except) {
  for (int i = 0; i < 2 * g_scheduler.processor_count; ++i) {
    Processor* processor = &g_scheduler.processors[i % g_scheduler.processor_count];
    bool owned = i < g_scheduler.processor_count;
    if (processor != except && processor->idle && kick(processor, owned)) return true;
  }
  return false;
}

bool become_spare(Worker* worker) {
  hand_out_deferred_signals(worker);
  hand_timers_to_poller(worker->processor);
  worker->processor = nullptr;
  if (worker->stuck_call != nullptr) {
    count_call(worker->stuck_call, tick_counter() - worker->stuck_since);
    worker->stuck_call = nullptr;
  }
  if (!enlist_spare(worker)) return false;
  sleep_on_futex(worker);
  return !dismissed(worker);
}

void worker_loop(Worker* worker) {
  for (;;) {
    Coroutine* next = find_runnable(worker);
    if (next == nullptr) {
      if (!become_spare(worker)) return;
      continue;
    }
    if (next->shared_stack != nullptr && !step_on_shared_stack(next)) continue;
    worker->cpu_clock = 0;
    resume_here(worker, next, worker->fs_base);
    g_swap(&worker->stack_pointer, next->stack_pointer, next->fs_base);
    finish_switch();
  }
}

}  // namespace coshim
