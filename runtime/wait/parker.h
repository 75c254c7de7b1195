// The one way to wait (DESIGN §7). A coroutine that parks switches away; a kernel thread that parks sleeps on
// a futex; callers can't tell.
//
//   state       park()                                  unpark()
//   running     -> parking, switch away -> parked       -> notified: the next park() returns at once
//   parking     (between the decision and the switch)   -> notified: the switch puts it back to the run queue
//   parked      resumed as running                      -> notified, made runnable
//   notified    park() returns at once, -> running      stays
//
// Wake-ups may be spurious: a waiter loops on its own condition.
#pragma once

#include "runtime/thread/critical.h"
#include "runtime/thread/thread.h"

namespace coshim {

enum ParkStates : uint32_t { kRunning = 0, kNotified = 1, kParking = 2, kParked = 3 };

// Waits until unpark(), until `deadline` (CLOCK_MONOTONIC) or spuriously. The calling thread's record is
// `self`. Must be called outside any CriticalSection of the caller's.
void park(Thread* self, Nanoseconds deadline);

// Ends or forestalls a park() of `thread`. Thread-safe; async-signal-safe inside a CriticalSection.
void unpark(Thread* thread);

// Names what the coming park() is for in the dump, and takes the name away again. `since` is taken by park()
// itself. `interruptible`: the wait ends when Thread::interrupts says so, and its caller then runs the
// handlers (preload/cancel.h); in other waits handlers run inside park(), and the wait goes on. `continues`:
// one of several waits of a call, which itself has set no_restart at its beginning.
class WaitReason {
 public:
  WaitReason(Thread* self, WaitKind kind, const void* object, bool interruptible = true,
             bool continues = false)
      : self_(self), handlers_before_(t_local.handlers_run) {
    set_wait(self, kind, object);
    self->interruptible = interruptible;
    if (!continues) t_local.no_restart = false;
    if (!t_local.signals_deferred) forget_interrupt();  // of an earlier wait, which did not ask
  }
  ~WaitReason() {
    self_->interruptible = false;
    self_->wait_kind = WaitKind::none;
    if (__builtin_expect(t_local.signals_deferred && t_local.critical == 0, 0)) deliver_deferred_signals();
    // Without a handler that ran it was no interruption.
    if (t_local.handlers_run == handlers_before_) forget_interrupt();
  }
  WaitReason(const WaitReason&) = delete;
  WaitReason& operator=(const WaitReason&) = delete;

 private:
  void forget_interrupt() {
    if (__builtin_expect((self_->interrupts.load(std::memory_order_relaxed) & kInterruptSignal) != 0, 0)) {
      self_->interrupts.fetch_and(~static_cast<uint32_t>(kInterruptSignal), std::memory_order_relaxed);
    }
  }

  Thread* self_;
  uint32_t handlers_before_;
};

}  // namespace coshim
