// The monitor: a hidden thread that takes a processor from a worker whose coroutine does not come back,
// whatever it is doing (a CPU loop, an unhooked call, a lock inside libc), and gives it to another worker. A
// worker that the kernel gives no CPU is left alone: another one would not get it either, and each tick would
// add a kernel thread to the crowd. It
// ticks only while a processor runs; when all have been idle for a while it sleeps until work begins again
// (contract rule 5, "idle: no wake-ups").
#include <errno.h>
#include <sys/prctl.h>

#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/diag/dump.h"
#include "runtime/diag/statistics.h"
#include "runtime/sched/call_counters.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/saver.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/hidden_thread.h"
#include "runtime/thread/robust.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr Nanoseconds kTick = 2000000;  // while another processor is idle and could help
constexpr int kQuietTicksBeforeSleep = 100;
// Kernel threads that calls which block have needed are kept for so long, or the next ones make new ones.
constexpr Nanoseconds kDismissalInterval = 1000000000;
constexpr size_t kMonitorStack = 64 * 1024;

std::atomic<uint32_t> g_wake_word{0};

bool another_is_idle(const Processor* except) {
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    if (&g_scheduler.processors[i] != except && g_scheduler.processors[i].idle) return true;
  }
  return false;
}

bool somebody_waits_for(const Processor* processor, Nanoseconds now) {
  return processor->queue.length() != 0 || processor->timers.earliest() <= now ||
         g_scheduler.poller.load(std::memory_order_relaxed) == nullptr;
}

// CPU time of a kernel thread of this process, by the clock id of clock_getcpuclockid(3); 0 where it has
// ended.
Nanoseconds cpu_time(pid_t tid) {
  constexpr int kPerThread = 4, kScheduled = 2;
  auto clock = static_cast<clockid_t>((~static_cast<unsigned>(tid) << 3) | kPerThread | kScheduled);
  timespec time{};
  return sys::call(SYS_clock_gettime, clock, &time) == 0 ? to_nanoseconds(time) : 0;
}

// For so long a worker that has no CPU may keep its processor.
constexpr int kPatienceForCpu = 10;  // times COSHIM_HOG_MS

bool only_lacks_cpu(const Processor* processor, const Worker* worker, const KernelPosition& position,
                    Nanoseconds stuck_for) {
  return position.runnable && stuck_for < kPatienceForCpu * g_config.hog_time &&
         cpu_time(worker->tid) - processor->stuck_cpu < g_config.hog_time / 2;
}

void take_over(Processor* processor, Nanoseconds stuck_for) {
  Worker* worker = processor->owner;
  CallCounter* call = nullptr;
  if (worker != nullptr && worker != kBinding) {
    KernelPosition position = kernel_position(worker->tid);
    if (only_lacks_cpu(processor, worker, position, stuck_for)) return;
    if (worker->blocking_call.load(std::memory_order_acquire) != nullptr) {
      // A region counts its call itself.
    } else if (position.call != nullptr) {
      call = call_counter(position.call, BlockedCallKind::unhooked);
    } else {
      call = call_counter("computing", BlockedCallKind::computing);
    }
  }
  {
    SpinGuard guard(processor->lock);
    if (processor->idle || processor->owner == nullptr || processor->owner == kBinding ||
        processor->switches.load(std::memory_order_relaxed) != processor->seen_switches) {
      return;
    }
    if (processor->owner == worker && call != nullptr) {
      worker->stuck_call = call;
      worker->stuck_since =
          tick_counter() - static_cast<uint64_t>(g_config.hog_time / 1000) * g_ticks_per_microsecond;
      call->calls.fetch_add(1, std::memory_order_relaxed);
    }
    processor->owner = kBinding;
  }
  processor->stuck_since = 0;
  g_scheduler.hand_overs.fetch_add(1, std::memory_order_relaxed);
  bind_worker(processor);
}

// No kernel thread could be made for it.
void retry_binding(Processor* processor) {
  {
    SpinGuard guard(processor->lock);
    if (processor->idle || processor->owner != nullptr) return;
    processor->owner = kBinding;
  }
  bind_worker(processor);
}

void look_at(Processor* processor, Nanoseconds now) {
  if (processor->idle) {
    processor->stuck_since = 0;
    return;
  }
  if (processor->owner == nullptr) {
    retry_binding(processor);
    return;
  }
  uint64_t switches = processor->switches.load(std::memory_order_relaxed);
  if (switches != processor->seen_switches || processor->stuck_since == 0) {
    processor->seen_switches = switches;
    processor->stuck_since = now;
    processor->stuck_cpu = kForever;
    return;
  }
  if (processor->stuck_cpu == kForever) {  // not at every tick: it is a system call
    const Worker* worker = processor->owner;
    processor->stuck_cpu = worker != nullptr && worker != kBinding ? cpu_time(worker->tid) : 0;
  }
  if (!somebody_waits_for(processor, now)) return;
  if (now - processor->stuck_since >= g_config.hog_time) {
    take_over(processor, now - processor->stuck_since);
  } else if (another_is_idle(processor)) {
    kick_idle_processor(processor);
  }
}

void sleep_until_work() {
  g_scheduler.monitor_asleep.store(true, std::memory_order_seq_cst);
  uint32_t seen = g_wake_word.load(std::memory_order_seq_cst);
  while (g_scheduler.running.load(std::memory_order_seq_cst) == 0 && !somebody_waits_for_stack() &&
         g_wake_word.load(std::memory_order_seq_cst) == seen && !dump_requested() && !statistics_asked()) {
    Nanoseconds until = statistics_lease_end();
    timespec timeout = to_timespec(until);
    if (sys::futex_wait(&g_wake_word, seen, until == kForever ? nullptr : &timeout) == -ETIMEDOUT) break;
  }
  g_scheduler.monitor_asleep.store(false, std::memory_order_seq_cst);
}

// A program may block every signal in all of its threads: the monitor takes the dump's, as long as it is
// ours.
void take_dump_signal() {
  static bool taken = false;
  if (g_config.dump_signal == 0 || dump_signal_is_ours() == taken) return;
  taken = !taken;
  sys::KernelSignalSet dump = sys::signal_bit(g_config.dump_signal);
  sys::set_signal_mask(taken ? SIG_UNBLOCK : SIG_BLOCK, &dump, nullptr);
}

void* monitor_main(void*) {
  t_local.critical = 1;
  t_local.hidden = true;
  sys::call(SYS_prctl, PR_SET_NAME, "coshim/monitor");
  keep_robust_mutexes_here();
  int quiet = 0;
  Nanoseconds next_dismissal = monotonic_now() + kDismissalInterval;
  const Nanoseconds tick = g_config.hog_time < 2 * kTick ? (g_config.hog_time + 1) / 2 : kTick;
  for (;;) {
    timespec interval = to_timespec(tick);
    sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &interval, nullptr);
    Nanoseconds now = monotonic_now();
    for (int i = 0; i < g_scheduler.processor_count; ++i) look_at(&g_scheduler.processors[i], now);
    if (g_shared_stacks) watch_shared_stacks(now);
    dump_if_requested();
    statistics_refresh_if_asked();
    if (statistics_lease_end() != kForever) statistics_end_lease();
    take_dump_signal();
    if (now >= next_dismissal) {
      dismiss_spares();
      next_dismissal = now + kDismissalInterval;
    }
    bool idle = g_scheduler.running.load(std::memory_order_relaxed) == 0 && !somebody_waits_for_stack();
    quiet = idle ? quiet + 1 : 0;
    if (quiet < kQuietTicksBeforeSleep) continue;
    dismiss_spares();
    sleep_until_work();
    saver_wake();
    quiet = 0;
  }
  return nullptr;
}

}  // namespace

void monitor_wake() {
  if (!g_scheduler.monitor_asleep.exchange(false, std::memory_order_seq_cst)) return;
  g_wake_word.fetch_add(1, std::memory_order_seq_cst);
  sys::futex_wake(&g_wake_word, 1);
}

void monitor_wake_always() {
  g_wake_word.fetch_add(1, std::memory_order_seq_cst);
  sys::futex_wake(&g_wake_word, 1);
}

bool monitor_start() {
  return start_hidden_thread(&monitor_main, nullptr, kernel_thread_stack(kMonitorStack)) == 0;
}

}  // namespace coshim
