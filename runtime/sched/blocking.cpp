#include "runtime/sched/blocking.h"

#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"

namespace coshim {

// Unless there is nothing that the processor could do meanwhile.
void give_up_processor(Worker* worker) {
  Processor* processor = worker->processor;
  if (processor == nullptr) return;
  {
    SpinGuard guard(processor->lock);
    if (processor->owner != worker) return;
    processor->owner = kBinding;
  }
  g_scheduler.hand_overs.fetch_add(1, std::memory_order_relaxed);
  bind_worker(processor);
}

void hand_processor_on() {
  CriticalSection critical;
  give_up_processor(t_local.worker);
}

BlockingCall begin_blocking(const char* call_name, bool likely_long, const UnwindStart* where) {
  CriticalSection critical;
  Coroutine* self = t_local.coroutine;
  Worker* worker = t_local.worker;
  uint64_t now = tick_counter();
  set_wait(self, WaitKind::blocked_call, call_name);
  self->wait_since = now;
  worker->blocking_since.store(now, std::memory_order_relaxed);
  worker->blocking_call.store(call_name, std::memory_order_release);
  if (likely_long) {
    g_scheduler.long_calls.fetch_add(1, std::memory_order_relaxed);
    give_up_processor(worker);
  }
  CallCounter* counter = call_counter(call_name, BlockedCallKind::region);
  counter->calls.fetch_add(1, std::memory_order_relaxed);
  const UnwindStart* before = self->blocked_at.load(std::memory_order_relaxed);
  self->blocked_at.store(where, std::memory_order_release);
  return {counter, now, before};
}

// The coroutine goes on at once, with or without a processor: without one it rejoins at its next wait.
void end_blocking(const BlockingCall& call) {
  uint64_t ticks = tick_counter() - call.since;
  count_call(call.counter, ticks);
  t_local.coroutine->resumed_at += ticks;
  t_local.coroutine->blocked_at.store(call.before, std::memory_order_release);
  t_local.coroutine->wait_kind = WaitKind::none;
  t_local.worker->blocking_call.store(nullptr, std::memory_order_release);
}

}  // namespace coshim
