// Semaphores. The counting is glibc's. A coroutine that finds none to take waits in the lot; a kernel thread
// waits in glibc, where signals and cancellation act as natively; a post wakes one of each kind, and whoever
// comes too late waits on. A post is the real one followed by a look into the lot, both async-signal-safe
// (signal-safety(7)).
//
// Process-shared and named ones: another process cannot wake the lot, so the real wait in a blocking region.
#include "preload/cancel.h"
#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

// glibc's struct new_sem (sysdeps/nptl/internaltypes.h): value and waiters, then 0 for a private one. Checked
// at start-up.
constexpr int kSharedWord = 2;
bool is_shared(const sem_t* semaphore) {
  return reinterpret_cast<const int*>(semaphore)[kSharedWord] != 0;
}

bool try_wait(sem_t* semaphore) {
  int saved = errno;
  if (sem_trywait(semaphore) == 0) return true;
  errno = saved;
  return false;
}

int fail(int error) {
  errno = error;
  return -1;
}

enum class WaitEnd { taken, timed_out, interrupted };

WaitEnd wait_in_lot(sem_t* semaphore, const ProgramDeadline& deadline) {
  LotWaiter waiter(semaphore, WaitKind::semaphore);
  for (;;) {
    waiter.enqueue();
    // A wake-up that came meanwhile may be for another token than the one taken: the destructor passes it on.
    if (try_wait(semaphore)) return WaitEnd::taken;
    switch (waiter.wait(deadline, true)) {
      case WaitResult::woken:
        break;
      case WaitResult::timed_out:
        return WaitEnd::timed_out;
      case WaitResult::interrupted:
        return WaitEnd::interrupted;
    }
  }
}

// On a coroutine, private, not in a handler.
int wait_parked(sem_t* semaphore, const ProgramDeadline& deadline) {
  cancellation_point();
  for (;;) {
    switch (wait_in_lot(semaphore, deadline)) {
      case WaitEnd::taken:
        return 0;
      case WaitEnd::timed_out:
        return fail(ETIMEDOUT);
      case WaitEnd::interrupted:
        break;
    }
    uint32_t interrupts = take_interrupts(current_thread());
    cancellation_point();
    // A timed wait is never restarted: the kernel restarts futex(2) after a handler only where it has no
    // timeout.
    bool restart = run_handlers(interrupts) && deadline.when() == nullptr;
    if ((interrupts & kInterruptSignal) != 0 && !restart) return fail(EINTR);
  }
}

bool parks(const sem_t* semaphore) {
  return in_coroutine() && !is_shared(semaphore);
}

}  // namespace

HOOK(int, sem_wait, (sem_t * semaphore)) {
  if (parks(semaphore)) return wait_parked(semaphore, {});
  BlockingRegion region("sem_wait");
  return real::sem_wait(semaphore);
}

HOOK(int, sem_timedwait, (sem_t * semaphore, const timespec* when)) {
  if (parks(semaphore) && valid_timespec(*when)) return wait_parked(semaphore, {CLOCK_REALTIME, when});
  BlockingRegion region("sem_timedwait");
  return region.repeat([&] { return real::sem_timedwait(semaphore, when); });
}

HOOK(int, sem_clockwait, (sem_t * semaphore, clockid_t clock, const timespec* when)) {
  if (parks(semaphore) && waitable_clock(clock) && valid_timespec(*when))
    return wait_parked(semaphore, {clock, when});
  BlockingRegion region("sem_clockwait");
  return region.repeat([&] { return real::sem_clockwait(semaphore, clock, when); });
}

HOOK(int, sem_post, (sem_t * semaphore)) {
  int result = real::sem_post(semaphore);
  if (__builtin_expect(result == 0 && lot_has_waiters(semaphore), 0)) lot_wake(semaphore, 1);
  return result;
}

bool semaphore_layout_ok() {
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  bool ok = !is_shared(&semaphore) && sem_trywait(&semaphore) == 0;
  sem_init(&semaphore, 1, 1);
  return ok && is_shared(&semaphore);
}

}  // namespace coshim
