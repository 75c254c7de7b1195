// A first-in first-out queue of runnable coroutines, linked through themselves: no bound, no allocation.
// Guarded by its processor's lock.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

class RunQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  uint32_t length() const { return length_.load(std::memory_order_relaxed); }
  uint64_t pushed() const { return pushed_.load(std::memory_order_relaxed); }  // ever, for the statistics
  void push(Coroutine* coroutine) {
    coroutine->queue_next = nullptr;
    if (tail_ != nullptr) {
      tail_->queue_next = coroutine;
    } else {
      head_ = coroutine;
    }
    tail_ = coroutine;
    length_.store(length() + 1, std::memory_order_relaxed);
    pushed_.store(pushed() + 1, std::memory_order_relaxed);
  }
  Coroutine* pop() {
    Coroutine* coroutine = head_;
    if (coroutine == nullptr) return nullptr;
    head_ = coroutine->queue_next;
    if (head_ == nullptr) tail_ = nullptr;
    length_.store(length() - 1, std::memory_order_relaxed);
    return coroutine;
  }
  // Moves the older half (at least one) to `to`. Both locks held.
  void give_half(RunQueue& to) {
    for (uint32_t count = (length() + 1) / 2; count > 0; --count) to.push(pop());
  }
  Coroutine* front() const { return head_; }
  void clear() {
    head_ = tail_ = nullptr;
    length_.store(0, std::memory_order_relaxed);
    pushed_.store(0, std::memory_order_relaxed);
  }

 private:
  Coroutine* head_ = nullptr;
  Coroutine* tail_ = nullptr;
  std::atomic<uint32_t> length_{0};  // read by others without the lock
  std::atomic<uint64_t> pushed_{0};
};

}  // namespace coshim
