// Condition variables: ours, keyed by the condition's address. The clock and whether it is process-shared
// stay where glibc keeps them, so static initialisers and conditions made elsewhere work, and initialising
// and destroying are glibc's own. The rest of the object is not touched: it may be destroyed while woken
// threads are still on their way.
//
// No wake-up is lost: a waiter is in the queue before it releases the mutex. A broadcast wakes one and moves
// the others to the mutex's queue, where each unlock wakes the next.
#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/robust.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

// glibc's __data.__wrefs (nptl/pthreadP.h): flags below, the number of its own waiters above. Checked at
// start-up.
constexpr unsigned kSharedFlag = 1, kMonotonicFlag = 2, kWaitersShift = 3;

unsigned flags_of(const pthread_cond_t* condition) {
  return __atomic_load_n(&condition->__data.__wrefs, __ATOMIC_RELAXED);
}

// A mutex remembers how many use it, and threads that wait on a condition count (pthread_mutex_destroy's
// EBUSY). Our unlock and lock would take them out meanwhile. Both run while the mutex is held.
void keep_user(pthread_mutex_t* mutex) {
  ++mutex->__data.__nusers;
}
void drop_user(pthread_mutex_t* mutex) {
  --mutex->__data.__nusers;
}

// False: the unlock gives EPERM and changes nothing.
bool may_unlock(const pthread_mutex_t* mutex) {
  int kind = kind_of(mutex);
  if (kind != PTHREAD_MUTEX_RECURSIVE_NP && kind != PTHREAD_MUTEX_ERRORCHECK_NP) return true;
  return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED) == current_thread()->tid;
}

int lock_again(pthread_mutex_t* mutex) {
  int result = hook_pthread_mutex_lock(mutex);
  if (result == 0 || result == EOWNERDEAD) drop_user(mutex);
  return result;
}

enum class WaitEnd { woken, timed_out, cancelled };

WaitEnd wait_in_lot(LotWaiter* waiter, const ProgramDeadline& deadline) {
  for (;;) {
    switch (waiter->wait(deadline, true)) {
      case WaitResult::woken:
        return WaitEnd::woken;
      case WaitResult::timed_out:
        // Chosen by a broadcast before.
        return waiter->moved() ? WaitEnd::woken : WaitEnd::timed_out;
      case WaitResult::interrupted:
        break;
    }
    uint32_t interrupts = take_interrupts(waiter->thread());
    if ((interrupts & kInterruptCancel) != 0 && cancellation_enabled()) return WaitEnd::cancelled;
    run_handlers(interrupts);  // and waiting goes on (pthread_cond_wait(3))
  }
}

// In a signal handler: a wake-up without reason after a moment.
int wait_in_handler(pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  int result = hook_pthread_mutex_unlock(mutex);
  if (result != 0) return result;
  {
    BlockingRegion region("pthread_cond_wait");
    doze();
  }
  result = hook_pthread_mutex_lock(mutex);
  return result == 0 && deadline.passed() ? ETIMEDOUT : result;
}

int wait_private(pthread_cond_t* condition, pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  sync_cancellation_point();
  if (in_signal_handler()) return wait_in_handler(mutex, deadline);
  if (!may_unlock(mutex)) return hook_pthread_mutex_unlock(mutex);
  WaitEnd end;
  {
    uintptr_t detail = mutex_waits_in_lot(mutex) ? reinterpret_cast<uintptr_t>(mutex) : 1;
    LotWaiter waiter(condition, WaitKind::condition, detail);
    waiter.enqueue();
    keep_user(mutex);
    int error = hook_pthread_mutex_unlock(mutex);
    if (error != 0) {
      drop_user(mutex);
      return error;
    }
    end = wait_in_lot(&waiter, deadline);
    // A cancelled thread takes no signal with it: the destructor passes it on.
  }
  int result = lock_again(mutex);
  if (end == WaitEnd::cancelled) sync_cancellation_point();  // acts with the mutex held (POSIX)
  return result == 0 && end == WaitEnd::timed_out ? ETIMEDOUT : result;
}

// The real function unlocks the mutex where nobody would look into the lot.
int wait_shared(pthread_cond_t* condition, pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  if (mutex_waits_in_lot(mutex)) share_mutex(mutex);
  SharedRobustOperation operation(shared_robust(mutex));
  BlockingRegion region("pthread_cond_wait");
  return deadline.when() == nullptr
             ? real::pthread_cond_wait(condition, mutex)
             : real::pthread_cond_clockwait(condition, mutex, deadline.clock(), deadline.when());
}

int wait(pthread_cond_t* condition, pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  return (flags_of(condition) & kSharedFlag) != 0 ? wait_shared(condition, mutex, deadline)
                                                  : wait_private(condition, mutex, deadline);
}

// Waiters inside glibc: of process-shared conditions, or from before the first coroutine.
bool has_real_waiters(unsigned flags) {
  return (flags & kSharedFlag) != 0 || (flags >> kWaitersShift) != 0;
}

}  // namespace

HOOK(int, pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t* mutex)) {
  if (threads_are_native()) return real::pthread_cond_wait(condition, mutex);
  return wait(condition, mutex, {});
}

HOOK(int, pthread_cond_timedwait,
     (pthread_cond_t * condition, pthread_mutex_t* mutex, const timespec* when)) {
  if (threads_are_native()) return real::pthread_cond_timedwait(condition, mutex, when);
  if (!valid_timespec(*when)) return EINVAL;
  clockid_t clock = (flags_of(condition) & kMonotonicFlag) != 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
  return wait(condition, mutex, {clock, when});
}

HOOK(int, pthread_cond_clockwait,
     (pthread_cond_t * condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* when)) {
  if (threads_are_native()) return real::pthread_cond_clockwait(condition, mutex, clock, when);
  if (!valid_timespec(*when) || !waitable_clock(clock)) return EINVAL;
  return wait(condition, mutex, {clock, when});
}

HOOK(int, pthread_cond_signal, (pthread_cond_t * condition)) {
  if (threads_are_native()) return real::pthread_cond_signal(condition);
  if (__builtin_expect(has_real_waiters(flags_of(condition)), 0)) real::pthread_cond_signal(condition);
  if (lot_has_waiters(condition)) lot_wake(condition, 1);
  return 0;
}

HOOK(int, pthread_cond_broadcast, (pthread_cond_t * condition)) {
  if (threads_are_native()) return real::pthread_cond_broadcast(condition);
  if (__builtin_expect(has_real_waiters(flags_of(condition)), 0)) real::pthread_cond_broadcast(condition);
  if (lot_has_waiters(condition)) lot_broadcast(condition);
  return 0;
}

// Waits until glibc's own waiters are gone: only process-shared conditions have some.
HOOK(int, pthread_cond_destroy, (pthread_cond_t * condition)) {
  if ((flags_of(condition) & kSharedFlag) == 0) return real::pthread_cond_destroy(condition);
  BlockingRegion region("pthread_cond_destroy");
  return real::pthread_cond_destroy(condition);
}

bool condition_layout_ok() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_cond_t condition;
  pthread_cond_init(&condition, &attributes);
  bool ok = flags_of(&condition) == 0;
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&condition, &attributes);
  ok = ok && flags_of(&condition) == kMonotonicFlag;
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&condition, &attributes);
  return ok && flags_of(&condition) == (kMonotonicFlag | kSharedFlag);
}

}  // namespace coshim
