#include "runtime/diag/statistics.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/sched/call_counters.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/depth.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

void count_one(Coroutine* coroutine, void* context) {
  Statistics& s = *static_cast<Statistics*>(context);
  ++s.alive;
  switch (coroutine->state.load(std::memory_order_relaxed)) {
    case CoroutineState::free:
      --s.alive;
      break;
    case CoroutineState::starting:
      ++s.starting;
      break;
    case CoroutineState::runnable:
      ++s.runnable;
      break;
    case CoroutineState::running:
      ++s.running;
      if (coroutine->wait_kind == WaitKind::blocked_call) ++s.blocked;
      break;
    case CoroutineState::parked: {
      ++s.parked;
      const StackSlot* slot = coroutine->slot;
      auto pointer = static_cast<char*>(coroutine->stack_pointer);
      if (slot != nullptr && pointer > slot->base && pointer < slot->stack_top)
        s.stack_live_bytes += static_cast<uint64_t>(slot->stack_top - pointer);
      if (coroutine->shared_stack != nullptr) s.stack_live_bytes += shared_stack_bytes(coroutine).size;
      break;
    }
    case CoroutineState::finished:
      ++s.finished;
      break;
  }
}

// proc(5): the second word of statm is the resident pages.
uint64_t resident_bytes() {
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  char text[96] = {};
  long length = sys::call(SYS_read, fd, text, sizeof(text) - 1);
  sys::close(static_cast<int>(fd));
  if (length <= 0) return 0;
  const char* p = strchr(text, ' ');
  uint64_t pages = 0;
  for (p = p != nullptr ? p + 1 : ""; *p >= '0' && *p <= '9'; ++p)
    pages = pages * 10 + static_cast<uint64_t>(*p - '0');
  return pages * 4096;
}

// A directory has a link for itself, its name and each subdirectory: one a kernel thread.
uint64_t kernel_threads() {
  struct stat status {};
  if (sys::call(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &status, 0) != 0 || status.st_nlink < 3)
    return 0;
  return status.st_nlink - 2;
}

void collect_scheduler(Statistics* s) {
  s->processors = static_cast<uint64_t>(g_scheduler.processor_count);
  s->processors_running = static_cast<uint64_t>(g_scheduler.running.load());
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    const Processor& processor = g_scheduler.processors[i];
    s->queued += processor.queue.length();
    s->switches += processor.switches.load(std::memory_order_relaxed);
    s->wake_ups += processor.queue.pushed();
  }
  s->workers = g_scheduler.live_workers.load();
  s->workers_peak = g_scheduler.peak_workers.load();
  s->kernel_threads = kernel_threads();
  uint64_t least = s->workers_peak + 2;  // the monitor and main
  s->kernel_threads_peak = s->kernel_threads > least ? s->kernel_threads : least;
  s->worker_wake_ups = g_scheduler.worker_wake_ups.load();
  s->hand_overs = g_scheduler.hand_overs.load();
  s->steals = g_scheduler.steals.load();
  s->long_calls = g_scheduler.long_calls.load();
}

// Those that have not come back count with their time so far: often they are what one looks for.
void add_call_in_progress(BlockedCall (&calls)[kBlockedCalls], const char* name, BlockedCallKind kind,
                          uint64_t since, uint64_t now) {
  for (BlockedCall& call : calls) {
    if (call.kind != kind || strncmp(call.name, name, sizeof(call.name) - 1) != 0) continue;
    uint64_t microseconds = now > since ? (now - since) / g_ticks_per_microsecond : 0;
    call.nanoseconds += microseconds * 1000;
    if (microseconds >= kBlockedMicroseconds) ++call.blocked;
    return;
  }
}

void add_calls_in_progress(BlockedCall (&calls)[kBlockedCalls]) {
  uint64_t now = tick_counter();
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->tid == 0) continue;
    const char* region = worker->blocking_call.load(std::memory_order_acquire);
    CallCounter* stuck = worker->stuck_call;
    if (region != nullptr) {
      add_call_in_progress(calls, region, BlockedCallKind::region, worker->blocking_since.load(), now);
    } else if (stuck != nullptr) {
      add_call_in_progress(calls, stuck->name.load(), stuck->kind, worker->stuck_since, now);
    }
  }
}

void add_call(BlockedCall (&calls)[kBlockedCalls], const char* name, const CallCounter& counter) {
  for (BlockedCall& call : calls) {
    if (call.name[0] == '\0') {
      strncpy(call.name, name, sizeof(call.name) - 1);
      call.kind = counter.kind;
    } else if (call.kind != counter.kind || strncmp(call.name, name, sizeof(call.name) - 1) != 0) {
      continue;
    }
    call.calls += counter.calls.load(std::memory_order_relaxed);
    call.blocked += counter.blocked.load(std::memory_order_relaxed);
    call.nanoseconds += counter.ticks.load(std::memory_order_relaxed) * 1000 / g_ticks_per_microsecond;
    return;
  }
}

}  // namespace

void collect_blocked_calls(BlockedCall (&calls)[kBlockedCalls]) {
  memset(calls, 0, sizeof(calls));
  for (const CallCounter& counter : g_call_counters) {
    const char* name = counter.name.load(std::memory_order_acquire);
    if (name != nullptr && counter.calls.load(std::memory_order_relaxed) != 0) add_call(calls, name, counter);
  }
  add_calls_in_progress(calls);
  for (int i = 1; i < kBlockedCalls && calls[i].name[0] != '\0'; ++i) {
    BlockedCall call = calls[i];
    int place = i;
    for (; place > 0 && calls[place - 1].nanoseconds < call.nanoseconds; --place)
      calls[place] = calls[place - 1];
    calls[place] = call;
  }
}

void collect_statistics(Statistics* s) {
  uint64_t sequence = s->sequence;
  memset(static_cast<void*>(s), 0, sizeof(*s));
  s->sequence = sequence;
  memcpy(s->magic, kStatisticsMagic, sizeof(s->magic));
  s->version = kStatisticsVersion;
  s->size = sizeof(Statistics);
  s->pid = sys::getpid();
  s->stack_mode = static_cast<uint32_t>(g_config.stack_mode);
  strncpy(s->library_version, COSHIM_VERSION, sizeof(s->library_version) - 1);
  s->started = g_scheduler.started_at;
  s->updated = monotonic_now();
  for_each_coroutine(&count_one, s);
  CoroutineCounts totals = coroutine_counts();
  s->created = totals.created;
  s->peak_alive = totals.peak;
  collect_scheduler(s);
  SlotStatistics slots = slot_statistics();
  s->stack_slots = slots.slots;
  s->stack_slots_in_use = slots.slots_in_use;
  for_each_shared_stack([](SharedStack* stack, void*) { note_depth(touched_depth(stack->slot)); }, nullptr);
  s->stack_deepest_bytes = deepest_stack();
  s->stack_reserved_bytes = slots.reserved_bytes;
  s->stack_saved_bytes = save_area_statistics().used;
  s->resident_bytes = resident_bytes();
  collect_blocked_calls(s->calls);
  for (const BlockedCall& call : s->calls) {
    s->blocking_calls += call.calls;
    s->blocking_nanoseconds += call.nanoseconds;
  }
}

}  // namespace coshim
