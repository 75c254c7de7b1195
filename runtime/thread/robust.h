// Robust mutexes of a thread that ends while it holds them. For kernel threads the kernel walks the list
// (get_robust_list(2)); for coroutines we do, by the same rules.
//
// When the whole process dies only the kernel can tell the waiters in other processes, and it looks for
// mutexes whose word has the tid of a kernel thread, in that one's list. So a process-shared robust mutex
// that a coroutine holds is kept in the name of a hidden thread that lives as long as the process. Whoever
// holds it gets it back around each of glibc's functions, which compare with the coroutine's own tid.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

// On the ending coroutine itself: marks FUTEX_OWNER_DIED in each mutex that it holds and wakes a waiter.
void release_robust_mutexes(Coroutine* self);

// The calling hidden thread lends its name from now on.
void keep_robust_mutexes_here();
void robust_reset_after_fork();

// Around a function of glibc that locks or unlocks a process-shared robust mutex. (A cancellation in between
// leaves it with the coroutine itself.)
class SharedRobustOperation {
 public:
  // Null: nothing to be done.
  explicit SharedRobustOperation(pthread_mutex_t* mutex) : mutex_(mutex) {
    if (mutex != nullptr) take_back();
  }
  ~SharedRobustOperation() {
    if (mutex_ != nullptr) hand_in();
  }
  // The mutex is not held any more, and may be gone.
  void let_go() { mutex_ = nullptr; }
  SharedRobustOperation(const SharedRobustOperation&) = delete;
  SharedRobustOperation& operator=(const SharedRobustOperation&) = delete;

 private:
  void take_back();
  void hand_in();
  pthread_mutex_t* mutex_;
};

}  // namespace coshim
