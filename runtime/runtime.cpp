// The runtime's start with the first thread, its fall-back to native, and fork.
#include <errno.h>
#include <sched.h>

#include "preload/swap/swap.h"
#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/native.h"
#include "runtime/base/sandbox.h"
#include "runtime/config.h"
#include "runtime/diag/dump.h"
#include "runtime/diag/statistics.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"
#include "runtime/io/ring.h"
#include "runtime/sched/places.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/elastic.h"
#include "runtime/stack/pager.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/stack/slot.h"
#include "runtime/stack/tls_slot.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/directed_timer.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/loaded_modules.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

__thread ThreadLocal t_local __attribute__((tls_model("initial-exec")));

namespace {

enum class Phase { unstarted, started, native };
std::atomic<Phase> g_phase{Phase::unstarted};
SpinLock g_start_lock;
bool g_tcb_known;  // survives a fork
void (*g_at_start[8])();

int processor_count() {
  if (g_config.workers > 0) return g_config.workers;
  unsigned long mask[128] = {};
  long bytes = sys::call(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  int count = 0;
  for (long i = 0; i < bytes / static_cast<long>(sizeof(long)); ++i) count += __builtin_popcountl(mask[i]);
  return count > 0 ? count : 1;
}

void never_block_faults() {
  sys::g_never_blocked = sys::signal_bit(SIGSEGV);
  sys::KernelSignalSet mask = 0;
  sys::set_signal_mask(SIG_UNBLOCK, &sys::g_never_blocked, &mask);
  if ((mask & sys::g_never_blocked) != 0) t_local.faults_blocked = true;
}

// Where the kernel lacks what it needs, stacks are private; and under a debugger, which would stop at every
// touch of a saved stack, a SIGSEGV, unless somebody asked for them.
void start_elastic_stacks() {
  const char* reason = nullptr;
  if (!g_config.stack_mode_given && under_debugger()) {
    reason = "a debugger is at work";
  } else if (!elastic_start()) {
    reason = "no memory";
  } else {
    int fd = hide_descriptor(pager_open(&reason));
    if (fd >= 0) pager_use(fd);
    if (fd < 0 && reason == nullptr) reason = "no descriptor for userfaultfd";
  }
  if (reason == nullptr) {
    register_all_slots();
    never_block_faults();
    return;
  }
  if (g_config.stack_mode_given)
    COSHIM_LOG(warn, "COSHIM_STACK_MODE=elastic: stacks stay private: %s", reason);
  g_config.stack_mode = StackMode::private_stack;
}

// The signal by which the monitor reaches a kernel thread that does not leave a shared stack: it must arrive.
void start_shared_stacks() {
  shared_stacks_start(static_cast<size_t>(g_config.shared_stacks) * static_cast<size_t>(processor_count()));
  if (g_config.dump_signal == 0) return;
  dump_prepare();
  if (!dump_signal_is_ours()) return;  // the program's: to be blocked and delivered as it wants
  sys::g_never_blocked |= sys::signal_bit(g_config.dump_signal);
}

const char* start() {
  const char* reason = nullptr;
  if (!g_tcb_known) {
    if (!native_initialize(&reason)) return reason;
    calibrate_clock();
    choose_swap();
    if (!tcb_initialize(&reason)) return reason;
    g_tcb_known = true;
  }
  if (g_config.stack_mode == StackMode::elastic) start_elastic_stacks();
  if (g_config.stack_mode == StackMode::shared) start_shared_stacks();
  if (module_wants_executable_stacks()) elastic_make_executable();
  if (!scheduler_start(processor_count(), &reason)) return reason;
  signals_start();
  dump_start();
  for (auto* callback : g_at_start) {
    if (callback != nullptr) callback();
  }
  g_descriptors_active.store(true, std::memory_order_release);
  return nullptr;
}

}  // namespace

void runtime_at_start(void (*callback)()) {
  for (auto*& place : g_at_start) {
    if (place != nullptr) continue;
    place = callback;
    return;
  }
  COSHIM_CHECK(!"room for the call-back");
}

bool runtime_started() {
  return g_phase.load(std::memory_order_acquire) == Phase::started;
}

bool runtime_ensure_started() {
  Phase phase = g_phase.load(std::memory_order_acquire);
  if (__builtin_expect(phase == Phase::started, 1)) return true;
  if (phase == Phase::native || g_config.disabled) return false;
  int saved = errno;
  CriticalSection critical;
  SpinGuard guard(g_start_lock);
  if (g_phase.load(std::memory_order_acquire) == Phase::unstarted) {
    const char* reason = start();
    if (reason != nullptr) COSHIM_LOG(warn, "threads stay native: %s", reason);
    g_phase.store(reason == nullptr ? Phase::started : Phase::native, std::memory_order_release);
  }
  errno = saved;
  return g_phase.load(std::memory_order_acquire) == Phase::started;
}

Coroutine* coroutine_of(pthread_t thread) {
  if (!runtime_started()) return nullptr;
  // Where its TCB may be saved elsewhere, by the slot that it lies in: a touch would bring the stack back.
  if (pager_active()) {
    const StackSlot* slot = find_slot(reinterpret_cast<const void*>(thread));
    if (slot != nullptr && slot->owner != nullptr && slot->owner->fs_base == thread) return slot->owner;
  }
  // By its record, not by ThreadLocal::coroutine, which is put aside while the child of a vfork lives.
  Thread* record = tcb_thread_local(thread)->thread;
  return record != nullptr && record->is_coroutine ? static_cast<Coroutine*>(record) : nullptr;
}

void entering_seccomp() {
  note_seccomp();
  elastic_stop();
}

void runtime_before_fork() {
  enter_critical();
  if (!runtime_started()) return;
  descriptors_forking();
  g_start_lock.lock();
  lock_modules_for_fork();
  lock_pools_for_fork();
  lock_elastic_for_fork();
  lock_save_areas_for_fork();
  lock_shared_stacks_for_fork();
  lock_tls_slots_for_fork();
  lock_slots_for_fork();
  lock_signals_for_fork();
}

void runtime_after_fork_in_parent() {
  if (runtime_started()) {
    unlock_signals_after_fork();
    unlock_slots_after_fork(false);
    unlock_tls_slots_after_fork(false);
    unlock_shared_stacks_after_fork(false, nullptr);
    unlock_save_areas_after_fork(false);
    unlock_elastic_after_fork(false);
    unlock_pools_after_fork(false);
    unlock_modules_after_fork(false);
    g_start_lock.unlock();
  }
  leave_critical();
}

// The child is the calling thread alone, now a kernel thread like main; the runtime starts afresh at its next
// pthread_create (DESIGN §9). The records and stacks of the others stay as they were: nobody will use them.
void runtime_after_fork_in_child() {
  if (runtime_started()) {
    unlock_slots_after_fork(true);
    unlock_tls_slots_after_fork(true);
    unlock_shared_stacks_after_fork(true, t_local.coroutine != nullptr ? t_local.coroutine : t_local.former);
    unlock_save_areas_after_fork(true);
    unlock_elastic_after_fork(true);
    pager_reset_after_fork();
    unlock_pools_after_fork(true);
    unlock_modules_after_fork(true);
    g_start_lock.reset();
    Coroutine* self = t_local.coroutine;
    signals_after_fork_in_child(self);
    directed_timers_after_fork_in_child();
    if (self != nullptr) t_local.former = self;
    t_local.coroutine = nullptr;
    t_local.worker = nullptr;
    t_local.thread = nullptr;
    t_local.changed_alone = false;  // all threads of the child come from this one
    scheduler_reset_after_fork();
    lot_reset_after_fork();
    poller_reset_after_fork();
    ring_reset_after_fork();
    places_reset_after_fork();
    descriptors_reset_after_fork();
    g_descriptors_active.store(false, std::memory_order_release);
    abandon_coroutines_after_fork(t_local.former);
    statistics_after_fork_in_child();
    dump_after_fork_in_child();
    program_threads_after_fork();
    g_phase.store(Phase::unstarted, std::memory_order_release);
  } else if (signals_started()) {
    signals_after_fork_in_child(nullptr);  // the child of such a child has our handlers still
  }
  leave_critical();
}

}  // namespace coshim
