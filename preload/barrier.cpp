// Barriers: ours, in the memory of glibc's object, which only we use after pthread_barrier_init. Every thread
// that arrives takes a number; a round is over when its last number is taken. pthread_barrier_destroy waits
// until all that arrived have left, so the memory may be freed by whoever passes first and destroys.
#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/config.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

struct Barrier {
  std::atomic<uint64_t> arrived;
  uint32_t count;  // where glibc has them, who writes them in its init
  int32_t shared;
  std::atomic<uint64_t> left;
};
static_assert(sizeof(Barrier) <= sizeof(pthread_barrier_t) && alignof(Barrier) <= alignof(pthread_barrier_t),
              "fits");

Barrier* ours(pthread_barrier_t* barrier) {
  return reinterpret_cast<Barrier*>(barrier);
}
bool is_glibcs(pthread_barrier_t* barrier) {
  return g_config.disabled || ours(barrier)->shared != 0;
}

// A late wake-up for one round must not reach the next one's waiters.
uintptr_t round_bit(uint64_t round) {
  return uintptr_t{1} << (round % 63);
}

void wait_for_round(Barrier* barrier, uint64_t round, uint64_t last) {
  if (in_signal_handler()) {
    BlockingRegion region("pthread_barrier_wait");
    while (barrier->arrived.load(std::memory_order_acquire) < last) doze();
    return;
  }
  LotWaiter waiter(barrier, WaitKind::barrier, round_bit(round));
  waiter.enqueue();
  if (barrier->arrived.load(std::memory_order_acquire) >= last) {
    waiter.leave();
  } else {
    waiter.wait(kForever);
  }
}

// The last access to the barrier's memory.
void leave_barrier(Barrier* barrier) {
  const void* address = &barrier->left;
  barrier->left.fetch_add(1, std::memory_order_acq_rel);
  if (lot_has_waiters(address)) lot_wake(address, 1);
}

}  // namespace

HOOK(int, pthread_barrier_init,
     (pthread_barrier_t * barrier, const pthread_barrierattr_t* attributes, unsigned count)) {
  int result = real::pthread_barrier_init(barrier, attributes, count);
  if (result == 0 && !is_glibcs(barrier)) {
    ours(barrier)->arrived.store(0, std::memory_order_relaxed);
    ours(barrier)->left.store(0, std::memory_order_release);
  }
  return result;
}

HOOK(int, pthread_barrier_wait, (pthread_barrier_t * object)) {
  if (is_glibcs(object)) {
    BlockingRegion region("pthread_barrier_wait");
    return real::pthread_barrier_wait(object);
  }
  Barrier* barrier = ours(object);
  uint64_t number = barrier->arrived.fetch_add(1, std::memory_order_acq_rel);
  uint64_t round = number / barrier->count;
  uint64_t last = (round + 1) * barrier->count;
  bool serial = number + 1 == last;
  if (serial) {
    if (lot_has_waiters(barrier)) lot_wake(barrier, 1 << 30, round_bit(round));
  } else {
    wait_for_round(barrier, round, last);
  }
  leave_barrier(barrier);
  return serial ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

HOOK(int, pthread_barrier_destroy, (pthread_barrier_t * object)) {
  if (is_glibcs(object)) {
    BlockingRegion region("pthread_barrier_destroy");
    return real::pthread_barrier_destroy(object);
  }
  Barrier* barrier = ours(object);
  while (barrier->left.load(std::memory_order_acquire) != barrier->arrived.load(std::memory_order_acquire)) {
    if (in_signal_handler()) {
      doze();
      continue;
    }
    LotWaiter waiter(&barrier->left, WaitKind::barrier);
    waiter.enqueue();
    if (barrier->left.load(std::memory_order_acquire) == barrier->arrived.load(std::memory_order_acquire))
      break;
    waiter.wait(kForever);
  }
  return 0;
}

bool barrier_layout_ok() {
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrier_t barrier;
  real::pthread_barrier_init(&barrier, &attributes, 12345);
  bool ok = ours(&barrier)->count == 12345 && ours(&barrier)->shared == 0;
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  real::pthread_barrier_init(&barrier, &attributes, 1);
  return ok && ours(&barrier)->count == 1 && ours(&barrier)->shared != 0;
}

}  // namespace coshim
