// Creating a coroutine, its first and last frame, and what happens to it afterwards.
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "preload/swap/swap.h"
#include "runtime/base/log.h"
#include "runtime/base/native.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/sched/places.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/stack/slot.h"
#include "runtime/stack/tls_slot.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/keys.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/robust.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

enum JoinBits : int { kDetached = 1, kClaimed = 2, kEnded = 4 };

std::atomic<int> g_program_threads{1};  // main is there from the start

// Runs the start routine inside the frame that pthread_exit() and cancellation unwind to, as
// pthread_cleanup_push() registers one (glibc's pthread.h, the variant for C).
void run_start_routine(Coroutine* self) {
  __pthread_unwind_buf_t frame;
  if (__sigsetjmp(reinterpret_cast<__jmp_buf_tag*>(frame.__cancel_jmp_buf), 0) == 0) {
    g_native.register_cancel(&frame);
    if (self->c11_start != nullptr) {
      self->result = reinterpret_cast<void*>(static_cast<intptr_t>(self->c11_start(self->argument)));
    } else {
      self->result = self->start_routine(self->argument);
    }
  } else if (Coroutine* still = t_local.coroutine; still != nullptr && !still->exit_called) {
    still->result = PTHREAD_CANCELED;  // (null: in the child of a fork, nobody joins it)
  }
}

// What glibc's start_thread does after the start routine, in its order.
void end_thread(Coroutine* self) {
  g_native.call_tls_dtors();
  run_key_destructors();
  tcb_free_key_blocks(reinterpret_cast<void*>(self->fs_base));
  release_robust_mutexes(self);
  end_policy(self);
}

// In the child of a fork the calling coroutine is the process's first kernel thread; its start routine has
// returned.
[[noreturn]] void end_main_of_child() {
  g_native.call_tls_dtors();
  run_key_destructors();
  program_thread_ended();
  for (;;) sys::call(SYS_exit, 0);
}

void coroutine_entry(void* argument) {
  auto* self = static_cast<Coroutine*>(argument);
  finish_switch();
  leave_critical();
  run_start_routine(self);
  leave_all_handlers();  // pthread_exit in a handler
  self = t_local.coroutine;
  if (self == nullptr) end_main_of_child();
  end_thread(self);
  program_thread_ended();
  enter_critical();
  t_local.critical = 1;
  self->state.store(CoroutineState::finished, std::memory_order_relaxed);
  switch_away(self, AfterSwitch::exit);
  __builtin_unreachable();
}

void recycle(Coroutine* coroutine) {
  release_stack(coroutine);
  release_coroutine(coroutine);
}

// Stack, and memory for TLS and TCB, with `coroutine` as its owner. False when memory ends.
bool acquire_stack(Coroutine* coroutine, const CreateRequest& request) {
  const bool user_stack = request.user_stack_low != nullptr;
  if (g_shared_stacks) {
    if (!user_stack) coroutine->shared_stack = bind_shared_stack(request.stack_size, request.guard_size);
    if (user_stack || coroutine->shared_stack != nullptr) {
      void* tcb = acquire_tls_slot();
      if (tcb == nullptr && coroutine->shared_stack != nullptr) leave_shared_stack(coroutine);
      coroutine->fs_base = reinterpret_cast<uintptr_t>(tcb);
      return tcb != nullptr;
    }
  }
  // A user's stack needs only the TLS and the TCB from us.
  StackSlot* slot =
      user_stack ? acquire_slot(16384, 0) : acquire_slot(request.stack_size, request.guard_size);
  if (slot == nullptr) return false;
  slot->owner = coroutine;
  coroutine->slot = slot;
  coroutine->fs_base = reinterpret_cast<uintptr_t>(slot->tcb);
  return true;
}

// The bounds that pthread_getattr_np tells, and the first frame. False when memory ends.
bool prepare_stack(Coroutine* coroutine, const CreateRequest& request) {
  coroutine->user_stack = request.user_stack_low != nullptr;
  coroutine->stack_size = request.stack_size;
  coroutine->guard_size = request.guard_size;
  const SharedStack* shared = coroutine->shared_stack;
  char* top;
  if (coroutine->user_stack) {
    coroutine->stack_low = request.user_stack_low;
    top = static_cast<char*>(request.user_stack_low) + request.stack_size;
  } else {
    const StackSlot* slot = shared != nullptr ? shared->slot : coroutine->slot;
    coroutine->stack_low = slot->stack_low;
    coroutine->stack_size = slot->total_size - slot->guard_size;
    top = slot->stack_top;
  }
  if (shared != nullptr) return prepare_shared_stack(coroutine, &coroutine_entry);
  top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15});
  coroutine->stack_pointer = swap_prepare(top, &coroutine_entry, coroutine);
  return true;
}

bool build_tcb(Coroutine* coroutine) {
  void* tcb = reinterpret_cast<void*>(coroutine->fs_base);
  StackSlot* slot = coroutine->slot;
  bool used_before = slot != nullptr ? slot->tcb_used : tls_slot_used(tcb);
  bool built = tcb_build(tcb, used_before, coroutine->tid, coroutine->stack_low, coroutine->stack_size);
  if (slot != nullptr) {
    slot->tcb_used = built;
  } else if (!built) {
    forget_tls_slot_use(tcb);
  }
  return built;
}

void prepare(Coroutine* coroutine, const CreateRequest& request) {
  coroutine->frozen.store(0, std::memory_order_relaxed);
  coroutine->start_routine = request.start_routine;
  coroutine->c11_start = request.c11_start;
  coroutine->argument = request.argument;
  coroutine->result = nullptr;
  coroutine->exit_called = false;
  coroutine->deepest = 0;
  coroutine->kept_mutexes = nullptr;
  coroutine->cancel_signal_due.store(false, std::memory_order_relaxed);
  coroutine->joining = nullptr;
  coroutine->join_state.store(request.detached ? kDetached : 0, std::memory_order_relaxed);
  coroutine->signal_mask = request.signal_mask & sys::kAllSignals;
  discard_pending_signals(coroutine);
  coroutine->interrupts.store(0, std::memory_order_relaxed);
  coroutine->park_state.store(0, std::memory_order_relaxed);
  coroutine->schedule_policy = request.schedule_policy;
  coroutine->schedule_priority = request.schedule_priority;
  coroutine->own_policy = request.own_policy;
  coroutine->switches = 0;
  coroutine->run_ticks = coroutine->resumed_at = 0;
  cpu_reset(coroutine);
  coroutine->blocked_at.store(nullptr, std::memory_order_relaxed);
  coroutine->processor = nullptr;
  coroutine->wait_kind = WaitKind::none;
  coroutine->resident_since = coroutine->left_alone = 0;
  coroutine->wait_since = coroutine->created_at = tick_counter();
  coroutine->alternate_stack = stack_t{};
  inherit_identity(coroutine, request.own_policy);
  if (request.affinity_bytes != 0) keep_affinity(coroutine, request.affinity, request.affinity_bytes);
}

}  // namespace

int create_coroutine(const CreateRequest& request, pthread_t* thread) {
  Coroutine* coroutine;
  {
    CriticalSection critical;
    coroutine = acquire_coroutine();
    if (coroutine == nullptr) return EAGAIN;
    if (!acquire_stack(coroutine, request)) {
      release_coroutine(coroutine);
      return EAGAIN;
    }
    if (!prepare_stack(coroutine, request)) {
      recycle(coroutine);
      return EAGAIN;
    }
  }
  prepare(coroutine, request);
  // Calls malloc, so outside of critical sections.
  if (!build_tcb(coroutine)) {
    CriticalSection critical;
    recycle(coroutine);
    return EAGAIN;
  }
  ThreadLocal* local = tcb_thread_local(coroutine->fs_base);
  *local = ThreadLocal{};
  local->thread = coroutine;
  local->coroutine = coroutine;
  local->critical = 1;
  *thread = coroutine->fs_base;
  program_thread_began();
  CriticalSection critical;
  make_runnable(coroutine);
  return 0;
}

void release_stack(Coroutine* coroutine) {
  if (StackSlot* slot = coroutine->slot) {
    coroutine->slot = nullptr;
    release_slot(slot);
  } else {
    if (coroutine->shared_stack != nullptr) leave_shared_stack(coroutine);
    if (coroutine->fs_base != 0) release_tls_slot(reinterpret_cast<void*>(coroutine->fs_base));
  }
  coroutine->fs_base = 0;
}

void coroutine_switched_off(Coroutine* coroutine) {
  leave_place(coroutine);
  int before = coroutine->join_state.fetch_or(kEnded, std::memory_order_acq_rel);
  if ((before & kDetached) != 0) {
    recycle(coroutine);
  } else if ((before & kClaimed) != 0) {
    lot_wake(coroutine, 1);
  }
}

bool coroutine_detached(const Coroutine* coroutine) {
  return (coroutine->join_state.load(std::memory_order_acquire) & kDetached) != 0;
}

bool coroutine_ended(const Coroutine* coroutine) {
  return (coroutine->join_state.load(std::memory_order_acquire) & kEnded) != 0 ||
         coroutine->state.load(std::memory_order_acquire) == CoroutineState::finished;
}

int join_coroutine(Coroutine* target, void** result, Nanoseconds deadline) {
  Coroutine* self = current_coroutine();
  if (target == self || (self != nullptr && target->joining == self)) return EDEADLK;
  int state = target->join_state.load(std::memory_order_acquire);
  do {
    if ((state & (kDetached | kClaimed)) != 0) return EINVAL;
    if ((state & kEnded) == 0 && deadline == 0) return EBUSY;
  } while (!target->join_state.compare_exchange_weak(state, state | kClaimed, std::memory_order_acq_rel));
  if (self != nullptr) self->joining = target;
  int outcome = 0;
  {
    LotWaiter waiter(target, WaitKind::join);
    while ((target->join_state.load(std::memory_order_acquire) & kEnded) == 0) {
      waiter.enqueue();
      if ((target->join_state.load(std::memory_order_acquire) & kEnded) != 0) break;
      WaitResult woken = waiter.wait(deadline, true);
      if (woken == WaitResult::woken) continue;
      if ((target->join_state.load(std::memory_order_acquire) & kEnded) != 0) break;
      if (woken == WaitResult::timed_out) {
        outcome = ETIMEDOUT;
        break;
      }
      // join goes on after a signal handler (pthread_join(3)); a cancellation is for the caller's
      // cancellation point, once.
      if ((current_thread()->interrupts.exchange(0, std::memory_order_acq_rel) & kInterruptCancel) == 0)
        continue;
      outcome = -1;
      break;
    }
  }
  if (self != nullptr) self->joining = nullptr;
  if (outcome != 0) {
    target->join_state.fetch_and(~kClaimed, std::memory_order_acq_rel);
    return outcome;
  }
  if (result != nullptr) *result = target->result;
  CriticalSection critical;
  recycle(target);
  return 0;
}

int detach_coroutine(Coroutine* target) {
  int state = target->join_state.load(std::memory_order_acquire);
  do {
    if ((state & kDetached) != 0) return EINVAL;
    if ((state & kClaimed) != 0) return 0;  // somebody is joining it: glibc lets that be
  } while (!target->join_state.compare_exchange_weak(state, state | kDetached, std::memory_order_acq_rel));
  if ((state & kEnded) != 0) {
    CriticalSection critical;
    recycle(target);
  }
  return 0;
}

void program_thread_began() {
  g_program_threads.fetch_add(1, std::memory_order_relaxed);
}

void program_thread_ended() {
  // pthread_exit(3): the process ends with status 0 when its last thread has ended.
  if (g_program_threads.fetch_sub(1, std::memory_order_acq_rel) == 1) exit(0);
}

void program_thread_not_made() {
  g_program_threads.fetch_sub(1, std::memory_order_relaxed);
}

void program_threads_after_fork() {
  g_program_threads.store(1, std::memory_order_relaxed);
}

}  // namespace coshim
