// Making the holder of a shared stack let go of it: time slices on a stack (runtime/sched/shared_switch.h).
#include <fcntl.h>
#include <string.h>
#include <ucontext.h>

#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/diag/dump.h"
#include "runtime/sched/shared_switch.h"

namespace coshim {

namespace {

constexpr size_t kRedZone = 128;  // System V AMD64 ABI 3.2.2
constexpr int kRequestCode = -61;
const char g_request_mark = 0;

Worker* worker_of(const Coroutine* coroutine) {
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->tid != 0 && worker->current.load(std::memory_order_acquire) == coroutine) return worker;
  }
  return nullptr;
}

// It may come too late, and find somebody else: freeze_here() looks again.
void ask_to_freeze(Worker* worker) {
  // Real-time signals queue: one at a time.
  if (!dump_signal_is_ours() || worker->asked_to_freeze.exchange(true, std::memory_order_acq_rel)) return;
  give_up_processor(worker);
  siginfo_t info{};
  info.si_signo = g_config.dump_signal;
  info.si_code = kRequestCode;
  info.si_value.sival_ptr = const_cast<char*>(&g_request_mark);
  sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), worker->tid, g_config.dump_signal, &info);
}

Nanoseconds cpu_time_of(pid_t tid) {
  timespec time{};
  auto clock = static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 6);  // clock_getcpuclockid(3)
  return sys::call(SYS_clock_gettime, clock, &time) == 0 ? to_nanoseconds(time) : 0;
}

// proc(5): is it on a CPU, or waiting for one?
bool wants_cpu(pid_t tid) {
  char text[256];
  format_text(text, sizeof(text), "/proc/self/task/%d/stat", tid);
  long fd = sys::call(SYS_openat, AT_FDCWD, text, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  long length = sys::call(SYS_read, fd, text, sizeof(text) - 1);
  sys::close(static_cast<int>(fd));
  if (length <= 0) return false;
  text[length] = '\0';
  const char* end = strrchr(text, ')');  // of the thread's name
  return end != nullptr && end[1] == ' ' && end[2] == 'R';
}

// The kernel has not let it run: on a busy machine that is nothing to be held against it, and freezing it
// would take the CPU time that it lacks.
bool only_lacks_cpu(const SharedStack* stack, const Worker* worker, bool blocked) {
  bool worked = !blocked && cpu_time_of(worker->tid) - stack->seen_cpu_time >= g_config.hog_time / 2;
  return !worked && wants_cpu(worker->tid);
}

void watch(SharedStack* stack, void* now_pointer) {
  const Nanoseconds now = *static_cast<Nanoseconds*>(now_pointer);
  Coroutine* holder = stack->holder.load(std::memory_order_acquire);
  bool running =
      holder != nullptr && holder->state.load(std::memory_order_relaxed) == CoroutineState::running;
  if (!running || holder != stack->seen_holder ||
      holder->switches + holder->freezes != stack->seen_switches) {
    stack->seen_holder = running ? holder : nullptr;
    stack->seen_switches = running ? holder->switches + holder->freezes : 0;
    stack->held_since = now;
    stack->seen_cpu_time = -1;
    stack->stuck.store(false, std::memory_order_relaxed);
    return;
  }
  Worker* worker = worker_of(holder);
  if (worker != nullptr && stack->seen_cpu_time < 0) stack->seen_cpu_time = cpu_time_of(worker->tid);
  // Nothing of what it does in the kernel is lost when a blocked one gives way at once.
  bool blocked = worker != nullptr && worker->blocking_call.load(std::memory_order_acquire) != nullptr;
  if (!blocked && now - stack->held_since < g_config.hog_time) return;
  if (worker != nullptr && only_lacks_cpu(stack, worker, blocked)) return;
  stack->stuck.store(true, std::memory_order_relaxed);
  if (worker == nullptr || stack->waiting_count.load(std::memory_order_relaxed) == 0) return;
  stack->held_since = now;
  stack->seen_cpu_time = -1;
  ask_to_freeze(worker);
}

}  // namespace

void watch_shared_stacks(Nanoseconds now) {
  for_each_shared_stack(&watch, &now);
}

bool is_freeze_request(const siginfo_t* info) {
  return info->si_code == kRequestCode && info->si_value.sival_ptr == &g_request_mark;
}

// With all signals blocked, on the kernel thread's alternate stack.
void freeze_here(const void* ucontext) {
  if (t_local.worker != nullptr) t_local.worker->asked_to_freeze.store(false, std::memory_order_release);
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) return;
  ++self->freezes;  // in any case: the signal alone may have interrupted a call
  if (t_local.critical != 0 || self->shared_stack == nullptr) return;
  SharedStack* stack = self->shared_stack;
  auto* interrupted = reinterpret_cast<char*>(
      static_cast<const ucontext_t*>(ucontext)->uc_mcontext.gregs[REG_RSP] - static_cast<greg_t>(kRedZone));
  char here;
  // In a handler of the program on another stack, or we were put on this very one.
  if (!stack->contains(interrupted) || stack->contains(&here)) return;
  if (stack->holder.load(std::memory_order_relaxed) != self || stack->waiting_count.load() == 0) return;
  if (!save_shared_stack(self, interrupted)) return;
  t_local.critical = 1;
  self->frozen_context = ucontext;
  stack->occupant = nullptr;
  self->frozen.store(kFrozen, std::memory_order_release);
  wait_for_shared_stack(self);
  let_go_of_shared_stack(stack);
  while (self->frozen.load(std::memory_order_acquire) == kFrozen) {
    sys::futex_wait(&self->frozen, kFrozen, nullptr);
  }
  while (!load_shared_stack(self, interrupted)) wait_for_memory();
  self->frozen_context = nullptr;
  self->frozen.store(kNotFrozen, std::memory_order_release);
  t_local.critical = 0;
}

}  // namespace coshim
