// Wait queues keyed by address, in hashed buckets: what mutexes, conditions, semaphores, joins and futexes wait in. An
// object of the program carries nothing of ours, so static initialisers and foreign objects work. Idea: WebKit's
// WTF::ParkingLot; Linux's futex.
//
// Protocol of a lock-like object:
//   waiter: LotWaiter waiter(address, kind); loop { waiter.enqueue(); if (try()) { waiter.leave(); done }
//           waiter.wait(deadline); }
//   waker:  release the object with an atomic read-modify-write, then `if (lot_has_waiters(address)) lot_wake(address, 1)`.
// The waiter raises the bucket's count (a full barrier) before it tries, and the waker releases (a full barrier on
// x86-64; a fence elsewhere) before it reads the count: one of the two sees the other.
#pragma once

#include "runtime/wait/parker.h"

namespace coshim {

enum class WaitResult { woken, timed_out, interrupted };

// True when somebody may be waiting in the bucket of `address` (false positives possible, no false negatives under the
// protocol above). No lock: a hash and a load.
bool lot_has_waiters(const void* address);

// Wakes up to `count` waiters on `address`, oldest first; returns how many. With `mask`, only those whose detail has a bit
// of it (FUTEX_WAKE_BITSET). Async-signal-safe.
int lot_wake(const void* address, int count, uintptr_t mask = ~uintptr_t{0});

// Wakes up to `wake` waiters on `from`, moves up to `move` of the rest to `to` (FUTEX_REQUEUE). If `expected` is given, first
// compares *from with it under the lock and returns -EAGAIN when it differs (FUTEX_CMP_REQUEUE).
// Returns woken + moved, *moved_out = moved.
int lot_requeue(const void* from, int wake, const void* to, int move, const uint32_t* expected, int* moved_out);

// One thread's membership while it waits on `address`. Wake-ups go to the longest waiting first.
class LotWaiter {
 public:
  // `detail`: see lot_wake's mask.
  LotWaiter(const void* address, WaitKind kind, uintptr_t detail = ~uintptr_t{0});
  ~LotWaiter();  // leaves the queue; a wake-up that arrived and was not used is passed on to the next waiter
  LotWaiter(const LotWaiter&) = delete;
  LotWaiter& operator=(const LotWaiter&) = delete;

  // Joins the queue (at its end the first time, at its front after a wake-up that brought nothing, to stay fair).
  // No-op while queued.
  void enqueue();
  // Joins the queue only if *word == expected, compared under the queue's lock (FUTEX_WAIT). False: it differs.
  bool enqueue_if(const uint32_t* word, uint32_t expected);
  // Waits until woken, `deadline` (CLOCK_MONOTONIC) or, with `interruptible`, until the thread gets an interrupt
  // (signal or cancellation). On woken the waiter is off the queue.
  WaitResult wait(Nanoseconds deadline, bool interruptible = false);
  // Leaves the queue. True: it was woken before (the caller has consumed that wake-up by calling this).
  bool leave();

 private:
  bool consume_signal();

  Thread* self_;
  WaitNode* node_;
  const void* address_;
  uintptr_t detail_;
  bool woken_once_ = false;
};

// The child of a fork is alone: forget all waiters.
void lot_reset_after_fork();

}  // namespace coshim
