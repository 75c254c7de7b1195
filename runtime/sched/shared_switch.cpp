#include "runtime/sched/shared_switch.h"

#include "preload/swap/swap.h"
#include "runtime/base/log.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr Nanoseconds kPauseWithoutMemory = 1000000;

// The stack is kept for `coroutine` now.
void go_on(Coroutine* coroutine) {
  if (coroutine->frozen.load(std::memory_order_acquire) == kFrozen) {
    coroutine->frozen.store(kThawed, std::memory_order_release);
    sys::futex_wake(&coroutine->frozen, 1);
  } else {
    make_runnable(coroutine);
  }
}

// The bytes of another coroutine can't be copied out: it stays, this one tries again.
void try_again_later(Coroutine* coroutine) {
  wait_for_memory();
  make_runnable(coroutine);
}

void note_set_aside() {
  if (g_scheduler.monitor_asleep.load(std::memory_order_seq_cst)) monitor_wake();
}

// A coroutine that stands elsewhere when it waits (a context switch of the program's own) can't be copied:
// what of its stack is live is not known. It keeps the stack.
bool stands_on_it(const Coroutine* coroutine) {
  return coroutine->shared_stack->contains(coroutine->stack_pointer);
}

// `self` still stands on the stack that `next` needs.
bool is_handed_over(const Coroutine* self, const Coroutine* next) {
  SharedStack* stack = next->shared_stack;
  return stack != nullptr && stack == self->shared_stack &&
         stack->holder.load(std::memory_order_relaxed) == self;
}

bool step_on(Coroutine* self, Coroutine* next) {
  if (next->shared_stack == nullptr) return true;
  if (!is_handed_over(self, next)) return step_on_shared_stack(next);
  char here;
  bool fair = next->shared_stack->waiting_count.load(std::memory_order_relaxed) == 0;
  if (fair && next->shared_stack->contains(&here)) return true;
  wait_for_shared_stack(next);
  note_set_aside();
  return false;
}

// On the worker's own stack, with the FS base of the coroutine that was switched away from.
coshim_swap_target exchange(void* argument) {
  auto* worker = static_cast<Worker*>(argument);
  Coroutine* next = worker->current.load(std::memory_order_relaxed);
  SharedStack* stack = next->shared_stack;
  if (worker->after_switch == AfterSwitch::exit) stack->occupant = nullptr;
  if (__builtin_expect(load_shared_stack(next, next->stack_pointer), 1)) {
    stack->holder.store(next, std::memory_order_release);
    return {next->stack_pointer, next->fs_base};
  }
  move_malloc_words(next->fs_base, worker->fs_base);
  worker->current.store(nullptr, std::memory_order_relaxed);
  try_again_later(next);
  return {worker->stack_pointer, worker->fs_base};
}

}  // namespace

void let_go_of_shared_stack(SharedStack* stack) {
  if (Coroutine* next = release_shared_stack(stack)) go_on(next);
}

void wait_for_memory() {
  static std::atomic<bool> told{false};
  if (!told.exchange(true)) COSHIM_LOG(warn, "no memory to copy a shared stack to; trying again");
  timespec pause = to_timespec(kPauseWithoutMemory);
  sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, nullptr);
}

bool step_on_shared_stack(Coroutine* next) {
  if (!claim_shared_stack(next)) {
    note_set_aside();
    return false;
  }
  if (__builtin_expect(load_shared_stack(next, next->stack_pointer), 1)) return true;
  let_go_of_shared_stack(next->shared_stack);
  try_again_later(next);
  return false;
}

void switch_shared_stacks(Worker* worker, Coroutine* self, Coroutine* next) {
  if (worker->after_switch == AfterSwitch::yield_locked) {  // not while stacks are copied
    worker->after_switch = AfterSwitch::yield;
    worker->processor->lock.unlock();
  }
  while (next != nullptr && !step_on(self, next)) next = pop_owned(worker);
  if (next == nullptr) {
    move_malloc_words(self->fs_base, worker->fs_base);
    worker->current.store(nullptr, std::memory_order_relaxed);
    g_swap(&self->stack_pointer, worker->stack_pointer, worker->fs_base);
    return;
  }
  resume_here(worker, next, self->fs_base);
  if (is_handed_over(self, next)) {
    auto through = reinterpret_cast<uintptr_t>(worker->stack_pointer) & ~uintptr_t{15};
    g_swap_through(&self->stack_pointer, reinterpret_cast<void*>(through), &exchange, worker);
  } else {
    g_swap(&self->stack_pointer, next->stack_pointer, next->fs_base);
  }
}

void step_off_shared_stack(Coroutine* previous, bool ended) {
  SharedStack* stack = previous->shared_stack;
  if (stack->holder.load(std::memory_order_relaxed) != previous) return;  // handed over
  if (ended) {
    stack->occupant = nullptr;
  } else if (!stands_on_it(previous)) {
    return;
  }
  let_go_of_shared_stack(stack);
}

}  // namespace coshim
