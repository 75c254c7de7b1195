// Deadlines of parked coroutines: one 4-ary heap a processor. A timer's firing is an unpark(): the coroutine
// itself sees that its time has come.
#pragma once

#include "runtime/base/spin_lock.h"
#include "runtime/thread/thread.h"

namespace coshim {

class TimerHeap {
 public:
  // Arms `coroutine` for coroutine->deadline. True: it is now the earliest of this heap. False also when
  // memory ends; then
  // `*failed` is set and the coroutine is not armed.
  bool add(Coroutine* coroutine, bool* failed);
  void remove(Coroutine* coroutine);
  // The coroutine with the earliest deadline at or before `now`, taken out; null if there is none.
  Coroutine* pop_due(Nanoseconds now);
  // kForever when empty. Read without the lock.
  Nanoseconds earliest() const { return earliest_.load(std::memory_order_seq_cst); }
  size_t size() const { return size_; }
  void clear();

 private:
  struct Entry {
    Nanoseconds deadline;
    Coroutine* coroutine;
  };
  void place(size_t index, const Entry& entry);
  void sift_up(size_t index, const Entry& entry);
  void sift_down(size_t index, const Entry& entry);
  void remove_at(size_t index);
  bool grow();

  Entry* entries_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
  std::atomic<Nanoseconds> earliest_{kForever};
};

// Arms and disarms the calling coroutine on its processor's heap. A worker that goes to sleep sees to it that
// somebody looks at the heap in time (worker.cpp). `arm` returns false when memory ends.
bool arm_timer(Coroutine* self, Nanoseconds deadline);
void disarm_timer(Coroutine* self);

}  // namespace coshim
