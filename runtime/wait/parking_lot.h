// Wait queues keyed by address, in hashed buckets: what mutexes, conditions, semaphores, joins and futexes
// wait in. An object of the program carries nothing of ours, so static initialisers and foreign objects work.
// Idea: WebKit's WTF::ParkingLot; Linux's futex.
//
// Protocol of a lock-like object:
//   waiter: LotWaiter waiter(address, kind); loop { waiter.enqueue(); if (try()) { waiter.leave(); done }
//           waiter.wait(deadline); }
//   waker:  release the object with an atomic read-modify-write, then `if (lot_has_waiters(address))
//   lot_wake(address, 1)`.
// The waiter raises the bucket's count (a full barrier) before it tries, and the waker releases (a full
// barrier on x86-64; a fence elsewhere) before it reads the count: one of the two sees the other.
//
// A waker never touches the object's memory after the release: somebody may have freed it by then.
#pragma once

#include "runtime/wait/parker.h"

namespace coshim {

class ProgramDeadline;

enum class WaitResult { woken, timed_out, interrupted };

// True when somebody may be waiting on `address` (false positives possible, no false negatives under the
// protocol above). No lock: a hash and a load.
inline bool lot_has_waiters(const void* address);

// Wakes up to `count` waiters on `address`, oldest first; returns how many. With `mask`, only those whose
// detail has a bit of it (FUTEX_WAKE_BITSET). Async-signal-safe.
int lot_wake(const void* address, int count, uintptr_t mask = ~uintptr_t{0});

// Wakes up to `wake` waiters on `from`, moves up to `move` of the rest to `to` (FUTEX_REQUEUE). If `expected`
// is given, first compares *from with it under the lock and returns -EAGAIN when it differs
// (FUTEX_CMP_REQUEUE). Returns woken + moved, *moved_out = moved.
int lot_requeue(const void* from, int wake, const void* to, int move, const uint32_t* expected,
                int* moved_out);

// pthread_cond_broadcast: wakes the oldest waiter on `address` and moves the others that have the same detail
// to the queue of the address that this detail is; wakes the rest. A detail below kSmallestMovable is no
// address: all are woken.
void lot_broadcast(const void* address);
constexpr uintptr_t kSmallestMovable = 4096;

// What waits on `address`: all details OR-ed, 0 if nobody does. Then, and only then, *word is read into
// *value: a thread that waits on an object keeps it alive, while the caller may have released it already.
uintptr_t lot_look(const void* address, const uint32_t* word, uint32_t* value);

// Gives an object to its oldest waiter instead of releasing it, if that one's detail has a bit of `mask`:
// calls give(context, thread) under the queue's lock, sets the waiter's detail to `mark` and wakes it.
bool lot_hand_over(const void* address, uintptr_t mask, uintptr_t mark,
                   void (*give)(void* context, Thread* to), void* context);

// A handler that interrupted `thread`'s wait was left by a jump: takes its node out of the queue.
void lot_abandon(Thread* thread);

struct LotBucket;

// One thread's membership while it waits on `address`. Wake-ups go to the longest waiting first.
class LotWaiter {
 public:
  // `detail`: see lot_wake's mask.
  LotWaiter(const void* address, WaitKind kind, uintptr_t detail = ~uintptr_t{0});
  ~LotWaiter();  // leaves the queue; a wake-up that arrived and was not used is passed on to the next waiter
  LotWaiter(const LotWaiter&) = delete;
  LotWaiter& operator=(const LotWaiter&) = delete;

  // Joins the queue (at its end the first time, at its front after a wake-up that brought nothing, to stay
  // fair). No-op while queued.
  void enqueue();
  // Joins the queue only if *word == expected, compared under the queue's lock (FUTEX_WAIT). False: it
  // differs.
  bool enqueue_if(const uint32_t* word, uint32_t expected);
  // Waits until woken, `deadline` (CLOCK_MONOTONIC) or, with `interruptible`, until the thread gets an
  // interrupt (signal or cancellation; the bits in Thread::interrupts stay for the caller to clear). On woken
  // and timed_out the waiter is off the queue, on interrupted it stays in it.
  WaitResult wait(Nanoseconds deadline, bool interruptible = false);
  // The same until the program's clock shows it.
  WaitResult wait(const ProgramDeadline& deadline, bool interruptible = false);
  // Leaves the queue. True: it was woken before (the caller has consumed that wake-up by calling this).
  bool leave();

  // lot_requeue or lot_broadcast has moved it to another address.
  bool moved() const {
    return __atomic_load_n(&node_->key, __ATOMIC_ACQUIRE) != reinterpret_cast<uintptr_t>(address_);
  }
  // For the next enqueue.
  void set_detail(uintptr_t detail) { detail_ = detail; }
  // After a wake-up: the waiter's own, or lot_hand_over's mark.
  uintptr_t wake_detail() const { return node_->detail; }
  Thread* thread() const { return self_; }

 private:
  template <typename ReadDeadline>
  WaitResult wait_until(ReadDeadline read_deadline, bool interruptible);
  LotBucket* lock_own_bucket();
  void join(LotBucket* bucket);
  bool consume_signal();

  Thread* self_;
  WaitNode* node_;
  const void* address_;
  uintptr_t detail_;
  WaitKind kind_;
  bool queued_ = false;  // since the last enqueue no wake-up was consumed and leave() not called
  bool woken_once_ = false;
};

// The child of a fork is alone: forget all waiters.
void lot_reset_after_fork();

// ---- The part that must be inline.

// How many wait, in 32 slots by further bits of the hash: so a waiter hides few other addresses' emptiness. A
// slot that reached 255 stays until the bucket is empty.
constexpr unsigned kLotSlots = 32;
constexpr unsigned kLotBucketBits = 14;

struct alignas(64) LotBucket {
  SpinLock lock;
  bool saturated = false;
  List<WaitNode, &WaitNode::link> queue;
  std::atomic<uint8_t> slots[kLotSlots];
};
static_assert(sizeof(LotBucket) == 64, "one cache line");
extern LotBucket g_lot_buckets[1 << kLotBucketBits];

struct LotPlace {
  LotBucket* bucket;
  std::atomic<uint8_t>* slot;
};
inline LotPlace lot_place(uintptr_t key) {
  uint64_t hash = (key >> 2) * 0x9E3779B97F4A7C15u;
  LotBucket* bucket = &g_lot_buckets[hash >> (64 - kLotBucketBits)];
  return {bucket, &bucket->slots[(hash >> (64 - kLotBucketBits - 5)) % kLotSlots]};
}

inline bool lot_has_waiters(const void* address) {
  return lot_place(reinterpret_cast<uintptr_t>(address)).slot->load(std::memory_order_relaxed) != 0;
}

}  // namespace coshim
