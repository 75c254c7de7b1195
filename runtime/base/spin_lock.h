// A lock for a few instructions' work. Its holder never switches coroutines, so a short spin nearly always gets it; when
// the holder's kernel thread was preempted, waiting spinners give their time away in a futex.
//
// A signal handler of the program may run hooks (sem_post, write). Whoever takes a lock inside a hook therefore stands
// in a CriticalSection (runtime/thread/critical.h), where handlers are put off.
#pragma once

#include <stdint.h>

#include <atomic>

#include "runtime/base/system_call.h"

namespace coshim {

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class SpinLock {
 public:
  void lock() {
    uint32_t expected = kFree;
    if (!state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) lock_slowly();
  }
  bool try_lock() {
    uint32_t expected = kFree;
    return state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire);
  }
  void unlock() {
    if (state_.exchange(kFree, std::memory_order_release) == kContended) sys::futex_wake(&state_, 1);
  }
  // Only for the child of a fork, which is alone.
  void reset() { state_.store(kFree, std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kFree = 0, kHeld = 1, kContended = 2;

  void lock_slowly() {
    for (int spins = 0; spins < 200; ++spins) {
      uint32_t expected = kFree;
      if (state_.load(std::memory_order_relaxed) == kFree &&
          state_.compare_exchange_weak(expected, kHeld, std::memory_order_acquire)) {
        return;
      }
      cpu_relax();
    }
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
      sys::futex_wait(&state_, kContended, nullptr);
    }
  }

  std::atomic<uint32_t> state_{kFree};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace coshim
