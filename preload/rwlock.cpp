// Read-write locks. The state is glibc's, changed by its own try and unlock functions only; the waiting and
// who comes next are ours. Nobody waits inside glibc, so its own hand-over never starts.
//
// Who comes next follows the lock's attribute (pthread_rwlockattr_setkind_np(3)):
//   PREFER_READER (default)       all waiting readers, before any writer
//   PREFER_WRITER                 a waiting writer first; readers join active readers
//   PREFER_WRITER_NONRECURSIVE    the same, and readers queue behind a waiting writer
#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

// Details of waiters.
constexpr uintptr_t kReader = 1, kWriter = 2;

// glibc's __data.__readers (nptl/pthreadP.h): checked at start-up.
constexpr uint32_t kWriteLocked = 2;
constexpr unsigned kReaderShift = 3;

const uint32_t* state_word(const pthread_rwlock_t* lock) {
  return &lock->__data.__readers;
}
uint32_t state_of(const pthread_rwlock_t* lock) {
  return __atomic_load_n(state_word(lock), __ATOMIC_ACQUIRE);
}
bool is_shared(const pthread_rwlock_t* lock) {
  return lock->__data.__shared != 0;
}

bool writes(const pthread_rwlock_t* lock) {
  return static_cast<pid_t>(__atomic_load_n(&lock->__data.__cur_writer, __ATOMIC_RELAXED)) ==
         current_thread()->tid;
}

// Must a reader queue although the lock would let it in?
bool defers_to_writer(const pthread_rwlock_t* lock) {
  if (lock->__data.__flags != PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP || !lot_has_waiters(lock))
    return false;
  uint32_t state = 0;
  return (lot_look(lock, state_word(lock), &state) & kWriter) != 0 && (state >> kReaderShift) != 0;
}

int try_lock(pthread_rwlock_t* lock, uintptr_t side) {
  if (side == kWriter) return pthread_rwlock_trywrlock(lock);
  return defers_to_writer(lock) ? EBUSY : real::pthread_rwlock_tryrdlock(lock);
}

// After an unlock, or when a writer gave up waiting. `prefers_reader` was read while the caller could still
// read it.
void wake_next(const void* lock, const uint32_t* word, bool prefers_reader) {
  uint32_t state = 0;
  uintptr_t waiting = lot_look(lock, word, &state);
  if (waiting == 0 || (state & kWriteLocked) != 0) return;  // the holder's unlock comes here again
  bool readers_active = (state >> kReaderShift) != 0;
  bool writer_next = (waiting & kWriter) != 0 && (!prefers_reader || (waiting & kReader) == 0);
  if (!writer_next) {
    lot_wake(lock, 1 << 30, kReader);
  } else if (!readers_active) {
    lot_wake(lock, 1, kWriter);
  }
}

bool prefers_reader(const pthread_rwlock_t* lock) {
  return lock->__data.__flags == PTHREAD_RWLOCK_PREFER_READER_NP;
}

int lock_for_real(pthread_rwlock_t* lock, uintptr_t side, const ProgramDeadline& deadline) {
  BlockingRegion region(side == kReader ? "pthread_rwlock_rdlock" : "pthread_rwlock_wrlock");
  if (deadline.when() == nullptr) {
    return side == kReader ? real::pthread_rwlock_rdlock(lock) : real::pthread_rwlock_wrlock(lock);
  }
  return side == kReader ? real::pthread_rwlock_clockrdlock(lock, deadline.clock(), deadline.when())
                         : real::pthread_rwlock_clockwrlock(lock, deadline.clock(), deadline.when());
}

// The node is in use; and a writer that waits inside glibc would start its hand-over.
int lock_in_handler(pthread_rwlock_t* lock, uintptr_t side, const ProgramDeadline& deadline) {
  BlockingRegion region("pthread_rwlock");
  for (;;) {
    int result = try_lock(lock, side);
    if (result != EBUSY) return result;
    if (deadline.passed()) return ETIMEDOUT;
    doze();
  }
}

__attribute__((noinline)) int lock_slowly(pthread_rwlock_t* lock, uintptr_t side,
                                          const ProgramDeadline& deadline) {
  if (is_shared(lock)) return lock_for_real(lock, side, deadline);
  if (writes(lock)) return EDEADLK;
  if (in_signal_handler()) return lock_in_handler(lock, side, deadline);
  int result = EBUSY;
  {
    LotWaiter waiter(lock, side == kReader ? WaitKind::rwlock_read : WaitKind::rwlock_write, side);
    for (;;) {
      waiter.enqueue();
      result = try_lock(lock, side);
      if (result != EBUSY) {
        waiter.leave();
        return result;
      }
      if (waiter.wait(deadline) == WaitResult::timed_out) break;
    }
  }
  // Readers may have queued behind this writer only.
  wake_next(lock, state_word(lock), prefers_reader(lock));
  return ETIMEDOUT;
}

int lock_timed(pthread_rwlock_t* lock, uintptr_t side, clockid_t clock, const timespec* when) {
  // glibc refuses a bad time first, whether it would wait or not.
  if (!waitable_clock(clock) || !valid_timespec(*when)) return EINVAL;
  if (writes(lock)) return EDEADLK;
  int result = try_lock(lock, side);
  return result == EBUSY ? lock_slowly(lock, side, {clock, when}) : result;
}

}  // namespace

HOOK(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock)) {
  if (threads_are_native()) return real::pthread_rwlock_rdlock(lock);
  int result = try_lock(lock, kReader);
  if (__builtin_expect(result == 0, 1)) return 0;
  return result == EBUSY ? lock_slowly(lock, kReader, {}) : result;
}

HOOK(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock)) {
  if (threads_are_native()) return real::pthread_rwlock_wrlock(lock);
  int result = try_lock(lock, kWriter);
  if (__builtin_expect(result == 0, 1)) return 0;
  return result == EBUSY ? lock_slowly(lock, kWriter, {}) : result;
}

// Natively busy, too, where readers must not pass a waiting writer.
HOOK(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * lock)) {
  if (threads_are_native()) return real::pthread_rwlock_tryrdlock(lock);
  return try_lock(lock, kReader);
}

HOOK(int, pthread_rwlock_timedrdlock, (pthread_rwlock_t * lock, const timespec* when)) {
  if (threads_are_native()) return real::pthread_rwlock_timedrdlock(lock, when);
  return lock_timed(lock, kReader, CLOCK_REALTIME, when);
}

HOOK(int, pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const timespec* when)) {
  if (threads_are_native()) return real::pthread_rwlock_timedwrlock(lock, when);
  return lock_timed(lock, kWriter, CLOCK_REALTIME, when);
}

HOOK(int, pthread_rwlock_clockrdlock, (pthread_rwlock_t * lock, clockid_t clock, const timespec* when)) {
  if (threads_are_native()) return real::pthread_rwlock_clockrdlock(lock, clock, when);
  return lock_timed(lock, kReader, clock, when);
}

HOOK(int, pthread_rwlock_clockwrlock, (pthread_rwlock_t * lock, clockid_t clock, const timespec* when)) {
  if (threads_are_native()) return real::pthread_rwlock_clockwrlock(lock, clock, when);
  return lock_timed(lock, kWriter, clock, when);
}

HOOK(int, pthread_rwlock_unlock, (pthread_rwlock_t * lock)) {
  if (threads_are_native()) return real::pthread_rwlock_unlock(lock);
  bool reader_first = prefers_reader(lock);
  const uint32_t* word = state_word(lock);
  int result = real::pthread_rwlock_unlock(lock);
  if (__builtin_expect(lot_has_waiters(lock), 0)) wake_next(lock, word, reader_first);
  return result;
}

bool rwlock_layout_ok() {
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_t lock;
  pthread_rwlock_init(&lock, &attributes);
  bool ok = !is_shared(&lock) && state_of(&lock) >> kReaderShift == 0 &&
            lock.__data.__flags == PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP;
  real::pthread_rwlock_tryrdlock(&lock);
  ok = ok && state_of(&lock) >> kReaderShift == 1 && (state_of(&lock) & kWriteLocked) == 0;
  real::pthread_rwlock_unlock(&lock);
  pthread_rwlock_trywrlock(&lock);
  ok = ok && state_of(&lock) >> kReaderShift == 0 && (state_of(&lock) & kWriteLocked) != 0 && writes(&lock);
  real::pthread_rwlock_unlock(&lock);
  ok = ok && (state_of(&lock) & kWriteLocked) == 0;
  pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&lock, &attributes);
  return ok && is_shared(&lock);
}

}  // namespace coshim
