#include "runtime/wait/parker.h"

#include "runtime/base/log.h"
#include "runtime/sched/blocking.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/unwind_start.h"
#include "runtime/wait/timer.h"

namespace coshim {

namespace {

// The fifth state: asleep on the state word itself, in the kernel. Kernel threads wait so, and a coroutine
// that waits inside a signal handler.
constexpr uint32_t kParkedInKernel = 4;

bool consume_notification(Thread* self) {
  uint32_t expected = kNotified;
  if (__builtin_expect(self->park_state.load(std::memory_order_relaxed) != kNotified, 1)) return false;
  return self->park_state.compare_exchange_strong(expected, kRunning, std::memory_order_acquire);
}

void park_in_kernel(Thread* self, Nanoseconds deadline) {
  uint32_t expected = kRunning;
  if (!self->park_state.compare_exchange_strong(expected, kParkedInKernel, std::memory_order_acq_rel)) {
    self->park_state.store(kRunning, std::memory_order_relaxed);  // was notified
    return;
  }
  timespec until = to_timespec(deadline);
  const timespec* timeout = deadline == kForever ? nullptr : &until;
  UnwindStart where;
  here(&where);
  self->blocked_at.store(&where, std::memory_order_release);
  while (self->park_state.load(std::memory_order_acquire) == kParkedInKernel) {
    // Timeout and EINTR (a handler ran) both end the park; the caller looks at its own condition.
    if (sys::futex_wait(&self->park_state, kParkedInKernel, timeout) < 0) break;
  }
  self->blocked_at.store(nullptr, std::memory_order_release);
  expected = kParkedInKernel;
  if (!self->park_state.compare_exchange_strong(expected, kRunning, std::memory_order_acquire)) {
    self->park_state.store(kRunning, std::memory_order_relaxed);
  }
}

// A bound coroutine has its kernel thread for itself, and its processor goes to others.
void park_bound(Coroutine* self, Nanoseconds deadline) {
  apply_policy(self);
  hand_processor_on();
  park_in_kernel(self, deadline);
}

void park_coroutine(Coroutine* self, Nanoseconds deadline) {
  CriticalSection critical;
  if (deadline != kForever && !arm_timer(self, deadline)) {
    // No memory for a timer: wait on this kernel thread instead; the monitor hands the processor on.
    park_in_kernel(self, deadline);
    return;
  }
  uint32_t expected = kRunning;
  if (self->park_state.compare_exchange_strong(expected, kParking, std::memory_order_acq_rel)) {
    switch_away(self, AfterSwitch::park);
  }
  self->park_state.store(kRunning, std::memory_order_relaxed);
  if (deadline != kForever) disarm_timer(self);
}

// An asynchronous cancellation ends any wait; those that are cancellation points see to it themselves.
void end_of_park(Thread* self) {
  auto* coroutine = static_cast<Coroutine*>(self);
  if (__builtin_expect(coroutine->cancel_signal_due.load(std::memory_order_relaxed), 0) &&
      !self->interruptible)
    send_due_cancel_signal(coroutine);
}

}  // namespace

void park(Thread* self, Nanoseconds deadline) {
  if (consume_notification(self)) {
    if (self->is_coroutine) end_of_park(self);
    return;
  }
  self->wait_since = tick_counter();
  if (self->is_coroutine && t_local.handler_depth == 0) {
    COSHIM_CHECK_DEBUG(t_local.critical == 0);
    auto* coroutine = static_cast<Coroutine*>(self);
    if (__builtin_expect(coroutine->bound.load(std::memory_order_relaxed), 0)) {
      park_bound(coroutine, deadline);
    } else {
      park_coroutine(coroutine, deadline);
    }
    end_of_park(self);
  } else {
    park_in_kernel(self, deadline);
  }
}

void unpark(Thread* thread) {
  CriticalSection critical;
  switch (thread->park_state.exchange(kNotified, std::memory_order_acq_rel)) {
    case kParked:
      make_runnable(static_cast<Coroutine*>(thread));
      break;
    case kParkedInKernel:
      sys::futex_wake(&thread->park_state, 1);
      break;
    default:
      break;
  }
}

}  // namespace coshim
