// Mutexes. glibc keeps the books with its own try and unlock functions, for every type; what is ours is the
// waiting (DESIGN §7). The tid in a mutex is that of the coroutine, which glibc takes from its TCB.
//
//   private              normal, adaptive, recursive, errorcheck, robust: try, then the lot
//   priority-inheriting  private ones become ordinary with their first use beside coroutines: FUTEX_LOCK_PI
//                        knows kernel threads only, and a coroutine has no priority to inherit
//   process-shared       another process cannot wake the lot: the real lock in a blocking region
//
// The lock and unlock of a normal mutex with nobody waiting are written out here, on the fields of the public
// struct: through glibc's functions they take 1.25 times as long as natively, this way as long.
//
// Fairness: as natively, a thread that comes along may take the mutex before the one that was woken for it.
// On one processor a holder that locks again at once would win for ever, so a waiter that has waited for a
// millisecond in vain is given the mutex by the next unlock, still locked (the idea of Go's sync.Mutex).
#include <limits.h>

#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/config.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/robust.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

// glibc's __data.__kind (nptl/pthreadP.h): not in a public header, but fixed by the static initialisers that
// programs contain, and checked at start-up.
constexpr int kTypeMask = 3, kRobust = 16, kInherit = 32, kShared = 128, kNoElision = 512;

// What a waiter's detail says to the unlocking thread, and the mark of a mutex given away.
constexpr uintptr_t kWaiting = 2, kStarving = 1, kGiven = 8;
constexpr uint64_t kStarvingAfterMicroseconds = 1000;
constexpr uint32_t kLargestKernelTid = 1 << 22;

constexpr int kWaitInKernel = -1;
constexpr int kNotRecoverable = INT32_MAX - 1;  // glibc's PTHREAD_MUTEX_NOTRECOVERABLE, an owner
constexpr int kLockedWord = 1;                  // 2 with waiters inside glibc

pid_t owner_of(const pthread_mutex_t* mutex) {
  return __atomic_load_n(&mutex->__data.__owner, __ATOMIC_RELAXED);
}

// The lock word of a held one reads the same to the other types; unlocking goes by the owner.
int try_lock(pthread_mutex_t* mutex) {
  if (__builtin_expect((kind_of(mutex) & (kInherit | kShared)) == kInherit, 0)) {
    __atomic_fetch_and(&mutex->__data.__kind, ~kInherit, __ATOMIC_SEQ_CST);
  }
  // glibc 2.36's try leaves such a mutex locked when it says so; its lock does not.
  if (__builtin_expect((kind_of(mutex) & kRobust) != 0 && owner_of(mutex) == kNotRecoverable, 0))
    return ENOTRECOVERABLE;
  SharedRobustOperation operation(shared_robust(mutex));
  return real::pthread_mutex_trylock(mutex);
}

// When a kernel thread that owns a robust mutex ends, the kernel wakes its own waiters only.
bool needs_kernel_wake(const pthread_mutex_t* mutex, int kind) {
  if ((kind & kRobust) == 0) return false;
  uint32_t owner =
      static_cast<uint32_t>(__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED)) & FUTEX_TID_MASK;
  return owner != 0 && owner < kLargestKernelTid;
}

int lock_in_kernel(pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  int result;
  {
    SharedRobustOperation operation(shared_robust(mutex));
    BlockingRegion region("pthread_mutex_lock");
    result = deadline.when() == nullptr
                 ? real::pthread_mutex_lock(mutex)
                 : real::pthread_mutex_clocklock(mutex, deadline.clock(), deadline.when());
  }
  // A wake-up from the lot may have brought us here: it is not lost with us.
  if (result == ETIMEDOUT) lot_wake(mutex, 1);
  return result;
}

// The mutex was given to us still locked. A recursive one may have been tried in between: then it counts two.
int take_gift(pthread_mutex_t* mutex, bool tried) {
  if (tried) --mutex->__data.__count;
  return 0;
}

int lock_in_lot(pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  LotWaiter waiter(mutex, WaitKind::mutex, kWaiting);
  uint64_t starving_at = 0;
  for (;;) {
    waiter.enqueue();
    int result = try_lock(mutex);
    if (result != EBUSY) {
      bool given = waiter.leave() && waiter.wake_detail() == kGiven;
      return given ? take_gift(mutex, result == 0) : result;
    }
    if (!mutex_waits_in_lot(mutex) || needs_kernel_wake(mutex, kind_of(mutex))) {
      return waiter.leave() && waiter.wake_detail() == kGiven ? take_gift(mutex, false) : kWaitInKernel;
    }
    if (starving_at == 0) starving_at = tick_counter() + kStarvingAfterMicroseconds * g_ticks_per_microsecond;
    if (waiter.wait(deadline) == WaitResult::timed_out) return ETIMEDOUT;
    if (waiter.wake_detail() == kGiven) return take_gift(mutex, false);
    if (tick_counter() >= starving_at) {
      waiter.set_detail(kWaiting | kStarving);
    }
  }
}

bool ordinary(int kind) {
  return (kind & ~kTypeMask) == 0;
}

void give_mutex(void* context, Thread* to) {
  auto* mutex = static_cast<pthread_mutex_t*>(context);
  __atomic_store_n(&mutex->__data.__owner, to->tid, __ATOMIC_RELAXED);
}

// To a starving waiter. Only what the caller may release: natively a normal mutex can be unlocked by anybody.
bool give_away(pthread_mutex_t* mutex, int kind) {
  if (!ordinary(kind) || mutex->__data.__lock == 0) return false;
  bool checked = kind == PTHREAD_MUTEX_RECURSIVE_NP || kind == PTHREAD_MUTEX_ERRORCHECK_NP;
  if (checked && owner_of(mutex) != current_thread()->tid) return false;
  return lot_hand_over(mutex, kStarving, kGiven, &give_mutex, mutex);
}

__attribute__((noinline)) int unlock_slowly(pthread_mutex_t* mutex) {
  int kind = kind_of(mutex);
  // Looked at before the release: afterwards the mutex may be gone.
  bool stays_held = (kind & kTypeMask) == PTHREAD_MUTEX_RECURSIVE_NP && mutex->__data.__count > 1;
  SharedRobustOperation operation(shared_robust(mutex));
  if (stays_held) return real::pthread_mutex_unlock(mutex);
  operation.let_go();
  if (lot_has_waiters(mutex) && give_away(mutex, kind)) return 0;
  int result = real::pthread_mutex_unlock(mutex);
  if (result != EPERM && lot_has_waiters(mutex)) lot_wake(mutex, 1);
  return result;
}

// A normal mutex: who waits inside glibc, in a signal handler or since before the first coroutine, has set
// its word to 2.
__attribute__((noinline)) int wake_after_unlock(pthread_mutex_t* mutex, int word_before) {
  if (word_before > kLockedWord) sys::futex_wake(mutex, 1);
  if (lot_has_waiters(mutex)) lot_wake(mutex, 1);
  return 0;
}

// What a lock function gives after a try that was neither success nor busy.
int finish_try(pthread_mutex_t* mutex, int result) {
  // Every waiter gets the same answer (pthread_mutex_consistent(3)), and no unlock comes to wake them.
  if (result == ENOTRECOVERABLE && lot_has_waiters(mutex)) lot_wake(mutex, 1 << 30);
  return result;
}

__attribute__((noinline)) int lock_by_glibc(pthread_mutex_t* mutex) {
  int result = try_lock(mutex);
  return result == EBUSY ? lock_mutex_slowly(mutex, {}) : finish_try(mutex, result);
}

// Who waits for a mutex whose memory has become another one waits for ever, as natively: the unlock of the new
// one wakes only who has marked its word.
void strand_waiters(const pthread_mutex_t* mutex) {
  static const char nowhere = 0;
  int moved;
  if (lot_has_waiters(mutex)) lot_requeue(mutex, 0, &nowhere, INT_MAX, nullptr, &moved);
}

}  // namespace

// Without the bit that PTHREAD_MUTEX_NORMAL, set by name, adds to the default: it changes nothing for us.
int kind_of(const pthread_mutex_t* mutex) {
  return __atomic_load_n(&mutex->__data.__kind, __ATOMIC_RELAXED) & ~kNoElision;
}

pthread_mutex_t* shared_robust(pthread_mutex_t* mutex) {
  return (kind_of(mutex) & (kRobust | kShared | kInherit)) == (kRobust | kShared) ? mutex : nullptr;
}

bool mutex_waits_in_lot(const pthread_mutex_t* mutex) {
  return (kind_of(mutex) & kShared) == 0;
}

void share_mutex(pthread_mutex_t* mutex) {
  __atomic_fetch_or(&mutex->__data.__kind, kShared, __ATOMIC_SEQ_CST);
  lot_wake(mutex, 1 << 30);
}

__attribute__((noinline)) int lock_mutex_slowly(pthread_mutex_t* mutex, const ProgramDeadline& deadline) {
  int kind = kind_of(mutex);
  if ((kind & kShared) != 0) return lock_in_kernel(mutex, deadline);
  // glibc's try says busy here, its lock EDEADLK. (The tries of robust and inheriting mutexes say so
  // themselves.)
  if (ordinary(kind) && kind == PTHREAD_MUTEX_ERRORCHECK_NP && owner_of(mutex) == current_thread()->tid)
    return EDEADLK;
  if (in_signal_handler()) return lock_in_kernel(mutex, deadline);
  int result = lock_in_lot(mutex, deadline);
  if (result == kWaitInKernel) return lock_in_kernel(mutex, deadline);
  return finish_try(mutex, result);
}

// A robust mutex that is private says it is shared, since the kernel wakes robust ones so. For us the bit
// must tell whether other processes take part; glibc does not look at it in a robust mutex.
HOOK(int, pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t* attributes)) {
  strand_waiters(mutex);
  int result = real::pthread_mutex_init(mutex, attributes);
  if (result != 0 || attributes == nullptr) return result;
  int robust = PTHREAD_MUTEX_STALLED, shared = PTHREAD_PROCESS_SHARED;
  pthread_mutexattr_getrobust(attributes, &robust);
  pthread_mutexattr_getpshared(attributes, &shared);
  if (robust == PTHREAD_MUTEX_ROBUST && shared == PTHREAD_PROCESS_PRIVATE) mutex->__data.__kind &= ~kShared;
  // The kernel knows its own threads alone as owners: another process would wait for ever for a coroutine. As
  // with private ones, there is no priority to inherit.
  int protocol = PTHREAD_PRIO_NONE;
  pthread_mutexattr_getprotocol(attributes, &protocol);
  if (protocol == PTHREAD_PRIO_INHERIT && shared == PTHREAD_PROCESS_SHARED && !g_config.disabled)
    mutex->__data.__kind &= ~kInherit;
  return 0;
}

HOOK(int, pthread_mutex_lock, (pthread_mutex_t * mutex)) {
  if (__builtin_expect(threads_are_native(), 0)) return real::pthread_mutex_lock(mutex);
  Thread* self = t_local.thread;
  if (__builtin_expect(kind_of(mutex) != PTHREAD_MUTEX_TIMED_NP || self == nullptr, 0))
    return lock_by_glibc(mutex);
  int expected = 0;
  if (__builtin_expect(!__atomic_compare_exchange_n(&mutex->__data.__lock, &expected, kLockedWord, false,
                                                    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
                       0)) {
    return lock_mutex_slowly(mutex, {});
  }
  mutex->__data.__owner = self->tid;
  ++mutex->__data.__nusers;
  return 0;
}

HOOK(int, pthread_mutex_trylock, (pthread_mutex_t * mutex)) {
  if (__builtin_expect(threads_are_native(), 0)) return real::pthread_mutex_trylock(mutex);
  int result = try_lock(mutex);
  return result == ENOTRECOVERABLE ? finish_try(mutex, result) : result;
}

HOOK(int, pthread_mutex_unlock, (pthread_mutex_t * mutex)) {
  if (__builtin_expect(threads_are_native(), 0)) return real::pthread_mutex_unlock(mutex);
  if (__builtin_expect(kind_of(mutex) != PTHREAD_MUTEX_TIMED_NP || lot_has_waiters(mutex), 0)) {
    return unlock_slowly(mutex);
  }
  mutex->__data.__owner = 0;
  --mutex->__data.__nusers;
  int before = __atomic_exchange_n(&mutex->__data.__lock, 0, __ATOMIC_SEQ_CST);
  if (__builtin_expect(before > kLockedWord || lot_has_waiters(mutex), 0))
    return wake_after_unlock(mutex, before);
  return 0;
}

// The time is looked at only where the lock has to wait (POSIX); a bad one the real function answers without
// waiting.
HOOK(int, pthread_mutex_clocklock, (pthread_mutex_t * mutex, clockid_t clock, const timespec* when)) {
  if (threads_are_native() || !waitable_clock(clock) || !valid_timespec(*when)) {
    return real::pthread_mutex_clocklock(mutex, clock, when);
  }
  int result = try_lock(mutex);
  if (result == 0) return 0;
  return result == EBUSY ? lock_mutex_slowly(mutex, {clock, when}) : finish_try(mutex, result);
}

HOOK(int, pthread_mutex_timedlock, (pthread_mutex_t * mutex, const timespec* when)) {
  return hook_pthread_mutex_clocklock(mutex, CLOCK_REALTIME, when);
}

bool mutex_layout_ok() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t mutex;
  real::pthread_mutex_init(&mutex, &attributes);
  bool ok = kind_of(&mutex) == PTHREAD_MUTEX_RECURSIVE_NP;
  real::pthread_mutex_trylock(&mutex);
  real::pthread_mutex_trylock(&mutex);
  ok = ok && mutex.__data.__count == 2 && owner_of(&mutex) == current_thread()->tid &&
       mutex.__data.__lock == 1 && mutex.__data.__nusers == 1;
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  real::pthread_mutex_init(&mutex, &attributes);
  ok = ok && kind_of(&mutex) == (PTHREAD_MUTEX_RECURSIVE_NP | kRobust | kShared);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_STALLED);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  real::pthread_mutex_init(&mutex, &attributes);
  ok = ok && kind_of(&mutex) == (PTHREAD_MUTEX_RECURSIVE_NP | kInherit);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_NONE);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  real::pthread_mutex_init(&mutex, &attributes);
  return ok && kind_of(&mutex) == (PTHREAD_MUTEX_RECURSIVE_NP | kShared);
}

}  // namespace coshim
