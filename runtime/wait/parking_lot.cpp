#include "runtime/wait/parking_lot.h"

#include "runtime/wait/program_deadline.h"

#include <errno.h>
#include <limits.h>

#include "runtime/base/log.h"
#include "runtime/thread/critical.h"

namespace coshim {

// Zero-initialised, so memory that is never waited on costs nothing.
LotBucket g_lot_buckets[1 << kLotBucketBits];

namespace {

constexpr unsigned kBucketsPerPage = 4096 / sizeof(LotBucket);
constexpr unsigned kPages = (1U << kLotBucketBits) / kBucketsPerPage;
// Pages of the table that were ever used: what the child of a fork has to clear.
std::atomic<bool> g_page_used[kPages];

uintptr_t key_of(const void* address) {
  return reinterpret_cast<uintptr_t>(address);
}
uintptr_t key_in(const WaitNode* node) {
  return __atomic_load_n(&node->key, __ATOMIC_ACQUIRE);
}

// Slots are changed under the bucket's lock and read without it. The fence orders the new waiter's slot
// before its look at the object; the waker's release of the object is the fence on the other side.
void count_in(const LotPlace& place) {
  std::atomic<bool>& used = g_page_used[(place.bucket - g_lot_buckets) / kBucketsPerPage];
  if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
  uint8_t count = place.slot->load(std::memory_order_relaxed);
  if (count < UINT8_MAX) {
    place.slot->store(static_cast<uint8_t>(count + 1), std::memory_order_relaxed);
  }
  if (count + 1 >= UINT8_MAX) place.bucket->saturated = true;
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void count_out(const LotPlace& place) {
  uint8_t count = place.slot->load(std::memory_order_relaxed);
  if (count < UINT8_MAX) place.slot->store(static_cast<uint8_t>(count - 1), std::memory_order_relaxed);
  if (place.bucket->saturated && place.bucket->queue.empty()) {
    for (auto& slot : place.bucket->slots) slot.store(0, std::memory_order_relaxed);
    place.bucket->saturated = false;
  }
}

void take_off(const LotPlace& place, WaitNode* node) {
  place.bucket->queue.remove(node);
  node->queued = false;
  count_out(place);
}

// The node belongs to its thread again from the store on: it may see it without the lock.
Thread* signal_node(const LotPlace& place, WaitNode* node) {
  Thread* thread = node->thread;
  take_off(place, node);
  __atomic_store_n(&node->signaled, true, __ATOMIC_RELEASE);
  return thread;
}

// Threads to be woken once the lock is released; records are type-stable, so a late unpark() is harmless.
class WakeBatch {
 public:
  bool full() const { return count_ == kCapacity; }
  int count() const { return count_; }
  void add(Thread* thread) { threads_[count_++] = thread; }
  void wake() {
    for (int i = 0; i < count_; ++i) unpark(threads_[i]);
    count_ = 0;
  }

 private:
  static constexpr int kCapacity = 64;
  int count_ = 0;
  Thread* threads_[kCapacity];
};

// Signals up to `count` matching waiters, as many as the batch holds; *more tells how many matching ones are
// left behind it.
int signal_matching(const LotPlace& place, uintptr_t key, uintptr_t mask, int count, WakeBatch* batch,
                    int* more) {
  int signaled = 0;
  *more = 0;
  for (WaitNode* node = place.bucket->queue.front(); node != nullptr && signaled + *more < count;) {
    WaitNode* next = node->link.next;
    if (node->key == key && (node->detail & mask) != 0) {
      if (batch->full()) {
        ++*more;
      } else {
        batch->add(signal_node(place, node));
        ++signaled;
      }
    }
    node = next;
  }
  return signaled;
}

// Both buckets' locks, in one order for everybody.
class PairGuard {
 public:
  PairGuard(LotBucket* a, LotBucket* b) : first_(a < b ? a : b), second_(a < b ? b : a) {
    first_->lock.lock();
    if (second_ != first_) second_->lock.lock();
  }
  ~PairGuard() {
    if (second_ != first_) second_->lock.unlock();
    first_->lock.unlock();
  }
  PairGuard(const PairGuard&) = delete;
  PairGuard& operator=(const PairGuard&) = delete;

 private:
  LotBucket* first_;
  LotBucket* second_;
};

// Under both locks.
void move_node(WaitNode* node, const LotPlace& from, const LotPlace& to, uintptr_t key) {
  take_off(from, node);
  to.bucket->queue.push_back(node);
  node->queued = true;
  __atomic_store_n(&node->key, key, __ATOMIC_RELEASE);
  count_in(to);
}

}  // namespace

int lot_wake(const void* address, int count, uintptr_t mask) {
  CriticalSection critical;
  LotPlace place = lot_place(key_of(address));
  int total = 0;
  int left = count;
  while (left > 0) {
    WakeBatch batch;
    int more = 0;
    {
      SpinGuard guard(place.bucket->lock);
      total += signal_matching(place, key_of(address), mask, left, &batch, &more);
    }
    batch.wake();
    left = more;  // only those that were there at the first look
  }
  return total;
}

int lot_requeue(const void* from, int wake, const void* to, int move, const uint32_t* expected,
                int* moved_out) {
  CriticalSection critical;
  LotPlace source = lot_place(key_of(from));
  LotPlace target = lot_place(key_of(to));
  WakeBatch batch;
  int woken = 0;
  int more = 0;
  int moved = 0;
  {
    PairGuard guard(source.bucket, target.bucket);
    const uint32_t* word = static_cast<const uint32_t*>(from);
    if (expected != nullptr && __atomic_load_n(word, __ATOMIC_SEQ_CST) != *expected) {
      *moved_out = 0;
      return -EAGAIN;
    }
    woken = signal_matching(source, key_of(from), ~uintptr_t{0}, wake, &batch, &more);
    int skipped = 0;  // to be woken in a later batch
    for (WaitNode* node = source.bucket->queue.front(); node != nullptr && moved < move;) {
      WaitNode* next = node->link.next;
      if (node->key == key_of(from) && skipped++ >= more) {
        if (from != to) move_node(node, source, target, key_of(to));
        ++moved;
      }
      node = next;
    }
  }
  batch.wake();
  if (more > 0) woken += lot_wake(from, more);
  *moved_out = moved;
  return woken + moved;
}

void lot_broadcast(const void* address) {
  CriticalSection critical;
  LotPlace source = lot_place(key_of(address));
  uintptr_t target_key = 0;
  {
    SpinGuard guard(source.bucket->lock);
    for (WaitNode* node = source.bucket->queue.front(); node != nullptr; node = node->link.next) {
      if (node->key != key_of(address)) continue;
      target_key = node->detail;
      break;
    }
  }
  if (target_key < kSmallestMovable) {
    if (target_key != 0) lot_wake(address, INT_MAX);
    return;
  }
  WakeBatch batch;
  int others = 0;  // with another mutex
  {
    LotPlace target = lot_place(target_key);
    PairGuard guard(source.bucket, target.bucket);
    for (WaitNode* node = source.bucket->queue.front(); node != nullptr;) {
      WaitNode* next = node->link.next;
      if (node->key == key_of(address)) {
        if (node->detail != target_key) {
          ++others;
        } else if (batch.count() == 0) {
          batch.add(signal_node(source, node));
        } else {
          move_node(node, source, target, target_key);
        }
      }
      node = next;
    }
  }
  batch.wake();
  if (others > 0) lot_wake(address, others);
}

uintptr_t lot_look(const void* address, const uint32_t* word, uint32_t* value) {
  CriticalSection critical;
  LotPlace place = lot_place(key_of(address));
  SpinGuard guard(place.bucket->lock);
  uintptr_t details = 0;
  for (WaitNode* node = place.bucket->queue.front(); node != nullptr; node = node->link.next) {
    if (node->key == key_of(address)) details |= node->detail;
  }
  if (details != 0) *value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  return details;
}

bool lot_hand_over(const void* address, uintptr_t mask, uintptr_t mark,
                   void (*give)(void* context, Thread* to), void* context) {
  CriticalSection critical;
  LotPlace place = lot_place(key_of(address));
  Thread* thread = nullptr;
  {
    SpinGuard guard(place.bucket->lock);
    for (WaitNode* node = place.bucket->queue.front(); node != nullptr; node = node->link.next) {
      if (node->key != key_of(address)) continue;
      if ((node->detail & mask) == 0) return false;
      node->detail = mark;
      give(context, node->thread);
      thread = signal_node(place, node);
      break;
    }
  }
  if (thread == nullptr) return false;
  unpark(thread);
  return true;
}

void lot_abandon(Thread* thread) {
  CriticalSection critical;
  WaitNode* node = &thread->wait_node;
  while (node->queued) {
    uintptr_t key = key_in(node);
    LotPlace place = lot_place(key);
    SpinGuard guard(place.bucket->lock);
    if (key_in(node) != key) continue;  // moved meanwhile
    for (WaitNode* other = place.bucket->queue.front(); other != nullptr; other = other->link.next) {
      if (other != node) continue;
      take_off(place, node);
      return;
    }
    return;  // in a queue of another kind
  }
}

LotWaiter::LotWaiter(const void* address, WaitKind kind, uintptr_t detail)
    : self_(current_thread()), node_(&self_->wait_node), address_(address), detail_(detail), kind_(kind) {
  COSHIM_CHECK_DEBUG(!node_->queued);
  node_->thread = self_;
  node_->key = key_of(address);
  node_->signaled = false;
  node_->shared = false;
}

LotWaiter::~LotWaiter() {
  if (!leave()) return;
  // Where it was woken: a moved waiter had its wake-up from the new address. Futex masks must match, others
  // are ours.
  lot_wake(reinterpret_cast<const void*>(key_in(node_)), 1,
           kind_ == WaitKind::futex ? detail_ : ~uintptr_t{0});
}

void LotWaiter::join(LotBucket* bucket) {
  node_->key = key_of(address_);
  node_->detail = detail_;
  node_->signaled = false;
  if (woken_once_) {
    bucket->queue.push_front(node_);
  } else {
    bucket->queue.push_back(node_);
  }
  node_->queued = true;
  queued_ = true;
}

void LotWaiter::enqueue() {
  if (queued_) return;
  CriticalSection critical;
  LotPlace place = lot_place(key_of(address_));
  SpinGuard guard(place.bucket->lock);
  join(place.bucket);
  count_in(place);
}

bool LotWaiter::enqueue_if(const uint32_t* word, uint32_t expected) {
  CriticalSection critical;
  LotPlace place = lot_place(key_of(address_));
  SpinGuard guard(place.bucket->lock);
  join(place.bucket);
  count_in(place);  // first: a waker changes the word, then looks at the slot
  if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == expected) return true;
  take_off(place, node_);
  queued_ = false;
  return false;
}

// The bucket that the node is in may change under us until we hold its lock.
LotBucket* LotWaiter::lock_own_bucket() {
  for (;;) {
    uintptr_t key = key_in(node_);
    LotBucket* bucket = lot_place(key).bucket;
    bucket->lock.lock();
    if (key_in(node_) == key) return bucket;
    bucket->lock.unlock();
  }
}

bool LotWaiter::leave() {
  if (!queued_) return false;
  if (consume_signal()) return true;
  CriticalSection critical;
  LotBucket* bucket = lock_own_bucket();
  if (node_->queued) {
    take_off(lot_place(node_->key), node_);
    queued_ = false;
  }
  bucket->lock.unlock();
  return queued_ && consume_signal();
}

bool LotWaiter::consume_signal() {
  if (!__atomic_load_n(&node_->signaled, __ATOMIC_ACQUIRE)) return false;
  node_->signaled = false;
  queued_ = false;
  woken_once_ = true;
  return true;
}

template <typename ReadDeadline>
WaitResult LotWaiter::wait_until(ReadDeadline read_deadline, bool interruptible) {
  WaitReason reason(self_, kind_, address_, interruptible);
  for (;;) {
    if (consume_signal()) return WaitResult::woken;
    if (interruptible && self_->interrupts.load(std::memory_order_acquire) != 0)
      return WaitResult::interrupted;
    Nanoseconds deadline = read_deadline();
    if (deadline != kForever && monotonic_now() >= deadline) {
      return leave() ? WaitResult::woken : WaitResult::timed_out;
    }
    park(self_, deadline);
  }
}

WaitResult LotWaiter::wait(Nanoseconds deadline, bool interruptible) {
  return wait_until([=] { return deadline; }, interruptible);
}

WaitResult LotWaiter::wait(const ProgramDeadline& deadline, bool interruptible) {
  FollowsClock follows(self_, deadline);
  return wait_until([&] { return deadline.monotonic(); }, interruptible);
}

void lot_reset_after_fork() {
  for (unsigned page = 0; page < kPages; ++page) {
    if (!g_page_used[page].load(std::memory_order_relaxed)) continue;
    for (unsigned i = 0; i < kBucketsPerPage; ++i) {
      LotBucket& bucket = g_lot_buckets[page * kBucketsPerPage + i];
      bucket.lock.reset();
      bucket.saturated = false;
      bucket.queue.clear();
      for (auto& slot : bucket.slots) slot.store(0, std::memory_order_relaxed);
    }
    g_page_used[page].store(false, std::memory_order_relaxed);
  }
}

}  // namespace coshim
