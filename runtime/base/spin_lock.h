// A lock for a few instructions' work. Its holder never switches coroutines, so a short spin nearly always
// gets it; when the holder's kernel thread was preempted, spinners give their time slice away. Releasing is a
// plain store: the scheduler takes two such locks a switch.
//
// A signal handler of the program may run hooks (sem_post, write). Whoever takes a lock inside a hook
// therefore stands in a CriticalSection (runtime/thread/critical.h), where handlers are put off.
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
    if (held_.exchange(true, std::memory_order_acquire)) lock_slowly();
  }
  bool try_lock() { return !held_.exchange(true, std::memory_order_acquire); }
  void unlock() { held_.store(false, std::memory_order_release); }
  // Only for the child of a fork, which is alone.
  void reset() { held_.store(false, std::memory_order_relaxed); }

 private:
  void lock_slowly() {
    do {
      for (int spins = 0; held_.load(std::memory_order_relaxed); ++spins) {
        if (spins < 200) {
          cpu_relax();
        } else {
          sys::yield();
        }
      }
    } while (held_.exchange(true, std::memory_order_acquire));
  }

  std::atomic<bool> held_{false};
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
