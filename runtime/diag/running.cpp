#include <errno.h>
#include <signal.h>

#include "runtime/config.h"
#include "runtime/diag/running.h"
#include "runtime/sched/processor.h"

namespace coshim {

namespace {

constexpr Nanoseconds kPatience = 100000000;

// One request at a time: there is one dump thread.
std::atomic<pid_t> g_wanted_tid{0};
std::atomic<uint32_t> g_phase{0};  // 0 asked, 1 the worker stands still, 2 it may go on
WalkStart g_start;
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

long ask_to_stand_still(pid_t tid) {
  siginfo_t info{};
  info.si_signo = g_config.dump_signal;
  info.si_code = SI_QUEUE;
  info.si_pid = sys::getpid();
  info.si_value.sival_int = static_cast<int>(kStandStill);
  return sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), tid, g_config.dump_signal, &info);
}

// It has gone on to something else, or will not take the signal.
bool gave_up(const Worker* worker, const Coroutine* expected) {
  return worker != nullptr && (worker->current.load(std::memory_order_acquire) != expected ||
                               (worker->kernel_mask & sys::signal_bit(g_config.dump_signal)) != 0);
}

}  // namespace

void stand_still_for_dump(const void* ucontext) {
  pid_t expected = sys::gettid();
  if (!g_wanted_tid.compare_exchange_strong(expected, 0, std::memory_order_acq_rel)) return;
  g_start = start_of_context(ucontext);
  g_found.store(t_local.coroutine, std::memory_order_release);
  set_phase(1);
  wait_for_phase(1, kPatience);
}

bool walk_running(Unwinder* unwinder, pid_t tid, const Worker* worker, const Coroutine* coroutine,
                  uintptr_t* frames, size_t capacity, size_t* count) {
  constexpr Nanoseconds kSlice = 1000000;
  if (gave_up(worker, coroutine)) return false;
  g_phase.store(0, std::memory_order_release);
  g_wanted_tid.store(tid, std::memory_order_release);
  bool found = false;
  if (ask_to_stand_still(tid) == 0) {
    for (Nanoseconds waited = 0; waited < kPatience && g_phase.load(std::memory_order_acquire) == 0;
         waited += kSlice) {
      wait_for_phase(0, kSlice);
      if (gave_up(worker, coroutine)) break;
    }
    if (g_phase.load(std::memory_order_acquire) == 1 &&
        (worker == nullptr || g_found.load(std::memory_order_acquire) == coroutine)) {
      StackReader stack(nullptr);
      *count = unwinder->walk(g_start, &stack, frames, capacity);
      found = true;
    }
  }
  g_wanted_tid.store(0, std::memory_order_release);
  set_phase(2);
  return found;
}

}  // namespace coshim
