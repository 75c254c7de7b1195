// POSIX timers (timer_create(2)): those that signal one thread.
#include "preload/hook.h"
#include "runtime/thread/directed_timer.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

// timer_t is the kernel's number but for SIGEV_THREAD, whose timers have the highest bit set
// (glibc's kernel-posix-timers.h): those are none of ours.
int number_of(timer_t timer) {
  auto value = reinterpret_cast<intptr_t>(timer);
  return value >= 0 && value <= 0x7fffffff ? static_cast<int>(value) : -1;
}

}  // namespace

HOOK(int, timer_create, (clockid_t clock, struct sigevent* event, timer_t* timer)) {
  Coroutine* target = event != nullptr && event->sigev_notify == SIGEV_THREAD_ID && runtime_started()
                          ? coroutine_by_tid(event->_sigev_un._tid)
                          : nullptr;
  if (target == nullptr) return real::timer_create(clock, event, timer);
  int number = -1;
  long result = create_directed_timer(clock, *event, target, &number);
  if (result == 0) *timer = reinterpret_cast<timer_t>(static_cast<intptr_t>(number));
  return return_errno<int>(result);
}

HOOK(int, timer_getoverrun, (timer_t timer)) {
  int overrun = directed_timer_overrun(number_of(timer));
  return overrun >= 0 ? overrun : real::timer_getoverrun(timer);
}

HOOK(int, timer_delete, (timer_t timer)) {
  int number = number_of(timer);
  int result = real::timer_delete(timer);
  if (result == 0) directed_timer_deleted(number);
  return result;
}

}  // namespace coshim
