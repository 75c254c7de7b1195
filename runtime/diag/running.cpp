// The stack of a running coroutine: its worker gets a signal, and its handler stands still on that stack
// while the dump walks it.
#include <errno.h>
#include <signal.h>

#include "runtime/config.h"
#include "runtime/diag/describe.h"
#include "runtime/diag/running.h"
#include "runtime/sched/processor.h"

namespace coshim {

namespace {

constexpr Nanoseconds kPatience = 200000000;

// One request at a time: there is one dump thread.
std::atomic<pid_t> g_wanted_tid{0};
std::atomic<uint32_t> g_phase{0};  // 0 asked, 1 the worker stands still, 2 it may go on
UnwindStart g_start;
std::atomic<Coroutine*> g_found{nullptr};

void wait_for_phase(uint32_t from, Nanoseconds patience) {
  timespec until = to_timespec(deadline_after(patience));
  while (g_phase.load(std::memory_order_acquire) == from) {
    if (sys::futex_wait(&g_phase, from, &until) == -ETIMEDOUT) return;
  }
}

void set_phase(uint32_t phase) {
  g_phase.store(phase, std::memory_order_release);
  sys::futex_wake(&g_phase, 8);
}

Worker* worker_of(const Coroutine* coroutine) {
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->tid != 0 && worker->current.load(std::memory_order_acquire) == coroutine) return worker;
  }
  return nullptr;
}

}  // namespace

bool stand_still_for_dump(const void* ucontext) {
  pid_t tid = sys::gettid();
  pid_t expected = tid;
  if (!g_wanted_tid.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return false;
  g_start = start_of_context(ucontext);
  g_found.store(t_local.coroutine, std::memory_order_release);
  set_phase(1);
  wait_for_phase(1, kPatience);
  return true;
}

bool walk_running(Coroutine* coroutine, uintptr_t* frames, size_t capacity, size_t* count) {
  Worker* worker = worker_of(coroutine);
  if (worker == nullptr) return false;
  g_phase.store(0, std::memory_order_release);
  g_wanted_tid.store(worker->tid, std::memory_order_release);
  bool found = false;
  if (sys::call(SYS_tgkill, sys::getpid(), worker->tid, g_config.dump_signal) == 0) {
    wait_for_phase(0, kPatience);
    if (g_phase.load(std::memory_order_acquire) == 1 &&
        g_found.load(std::memory_order_acquire) == coroutine) {
      *count = walk_stack(g_start, frames, capacity);
      found = true;
    }
  }
  g_wanted_tid.store(0, std::memory_order_release);
  set_phase(2);
  return found;
}

}  // namespace coshim
