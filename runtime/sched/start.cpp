// Bringing the scheduler up with the first coroutine, and starting afresh in the child of a fork.
#include <sys/mman.h>

#include <new>

#include "runtime/base/permanent.h"
#include "runtime/io/poller.h"
#include "runtime/sched/call_counters.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/saver.h"
#include "runtime/thread/robust.h"
#include "runtime/thread/setxid.h"

namespace coshim {

bool scheduler_start(int processor_count, const char** reason) {
  if (g_scheduler.processors == nullptr) {
    long memory = sys::call(SYS_mmap, nullptr, sizeof(Processor) * static_cast<size_t>(processor_count),
                            PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096) {
      *reason = "no memory for the scheduler";
      return false;
    }
    auto* processors = reinterpret_cast<Processor*>(memory);
    for (int i = 0; i < processor_count; ++i) new (&processors[i]) Processor;
    for (int i = 0; i < processor_count; ++i) processors[i].index = i;
    g_scheduler.processors = processors;
    g_scheduler.processor_count = processor_count;
  }
  if (poller_start() != 0) {
    *reason = "no descriptor for the poller";
    return false;
  }
  if (!monitor_start()) {
    *reason = "no kernel thread for the monitor";
    return false;
  }
  if (!workers_start()) {
    *reason = "no kernel thread for a worker";
    return false;
  }
  guard_setxid_signal();
  g_scheduler.started_at = monotonic_now();
  g_scheduler.process = sys::getpid();
  saver_start();  // where no kernel thread can be had, stacks keep their pages
  g_scheduler.started.store(true, std::memory_order_release);
  return true;
}

void scheduler_reset_after_fork() {
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    Processor& processor = g_scheduler.processors[i];
    processor.lock.reset();
    processor.timer_lock.reset();
    processor.idle = true;
    processor.owner = nullptr;
    processor.queue.clear();
    processor.timers.clear();
    processor.switches.store(0);
    processor.stuck_since = 0;
    processor.backlog_since = 0;
  }
  g_scheduler.running.store(0);
  g_scheduler.poller.store(nullptr);
  g_scheduler.monitor_asleep.store(false);
  g_scheduler.started.store(false);
  // A new process counts from nothing.
  g_scheduler.hand_overs.store(0);
  g_scheduler.long_calls.store(0);
  g_scheduler.steals.store(0);
  g_scheduler.worker_wake_ups.store(0);
  g_scheduler.peak_workers.store(0);
  for (CallCounter& counter : g_call_counters) {
    counter.calls.store(0);
    counter.blocked.store(0);
    counter.ticks.store(0);
  }
  permanent_memory_reset_after_fork();
  cpu_accounting_reset_after_fork();
  robust_reset_after_fork();
  workers_reset_after_fork();
}

}  // namespace coshim
