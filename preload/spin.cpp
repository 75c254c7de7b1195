// Spin locks: a bounded spin, then the lot. The holder may be a coroutine that is not running, and on one
// processor it will not run before the spinner goes away.
//
// glibc's unlock is a plain store, after which a waiter that has just queued can be overlooked. A fence would
// make every unlock several times dearer; instead a waiter looks again after a millisecond.
#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

constexpr int kSpins = 100;
constexpr Nanoseconds kLookAgainAfter = 1000000;

__attribute__((noinline)) int lock_slowly(pthread_spinlock_t* lock) {
  if (in_signal_handler()) {
    BlockingRegion region("pthread_spin_lock");
    return real::pthread_spin_lock(lock);
  }
  for (int i = 0; i < kSpins; ++i) {
    cpu_relax();
    if (pthread_spin_trylock(lock) == 0) return 0;
  }
  const void* address = const_cast<const int*>(lock);
  LotWaiter waiter(address, WaitKind::spin);
  for (;;) {
    waiter.enqueue();
    if (pthread_spin_trylock(lock) == 0) {
      waiter.leave();
      return 0;
    }
    waiter.wait(deadline_after(kLookAgainAfter));
  }
}

}  // namespace

HOOK(int, pthread_spin_lock, (pthread_spinlock_t * lock)) {
  if (threads_are_native()) return real::pthread_spin_lock(lock);
  if (__builtin_expect(pthread_spin_trylock(lock) == 0, 1)) return 0;
  return lock_slowly(lock);
}

HOOK(int, pthread_spin_unlock, (pthread_spinlock_t * lock)) {
  int result = real::pthread_spin_unlock(lock);
  const void* address = const_cast<const int*>(lock);
  if (__builtin_expect(lot_has_waiters(address), 0)) lot_wake(address, 1);
  return result;
}

}  // namespace coshim
