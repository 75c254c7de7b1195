// The end of a timed wait as the program gave it: a time on CLOCK_REALTIME may come sooner or later than it
// seemed when the wait began, because somebody sets that clock (clock_settime(2)). As natively, the wait ends
// when the clock says so.
#pragma once

#include "runtime/base/clock.h"
#include "runtime/io/poller.h"
#include "runtime/thread/thread.h"

namespace coshim {

class ProgramDeadline {
 public:
  ProgramDeadline() = default;  // never
  // Takes the time as it is now, as the kernel does.
  ProgramDeadline(clockid_t clock, const timespec* when) : clock_(clock), given_(when != nullptr) {
    if (given_) when_ = *when;
  }
  clockid_t clock() const { return clock_; }
  const timespec* when() const { return given_ ? &when_ : nullptr; }
  // On CLOCK_MONOTONIC, as far as can be told now.
  Nanoseconds monotonic() const { return given_ ? to_monotonic(clock_, when_) : kForever; }
  bool passed() const { return given_ && clock_now(clock_) >= to_nanoseconds(when_); }
  bool may_change() const { return given_ && clock_ == CLOCK_REALTIME; }

 private:
  clockid_t clock_ = CLOCK_REALTIME;
  bool given_ = false;
  timespec when_{};
};

// While one lives, its thread is unparked when CLOCK_REALTIME is set, and then reads its deadline anew.
class FollowsClock {
 public:
  FollowsClock(Thread* self, const ProgramDeadline& deadline)
      : self_(deadline.may_change() ? self : nullptr) {
    if (self_ == nullptr) return;
    self_->follows_clock.store(true, std::memory_order_seq_cst);
    poller_watch_clock();
  }
  ~FollowsClock() {
    if (self_ != nullptr) self_->follows_clock.store(false, std::memory_order_relaxed);
  }
  FollowsClock(const FollowsClock&) = delete;
  FollowsClock& operator=(const FollowsClock&) = delete;

 private:
  Thread* self_;
};

// The poller's: CLOCK_REALTIME has been set.
void clock_was_set();

}  // namespace coshim
