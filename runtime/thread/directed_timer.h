// Timers of the program that signal one thread (timer_create(2), SIGEV_THREAD_ID), where that is a coroutine,
// whose number the kernel does not know. The kernel signals a hidden thread instead, which passes on what it
// gets: si_value, si_overrun and the timer's number as the kernel would have sent them. While the signal is
// pending for the coroutine, further expirations count as overruns, as timer_getoverrun(2) says.
#pragma once

#include <signal.h>
#include <time.h>

#include "runtime/thread/thread.h"

namespace coshim {

// `event` says SIGEV_THREAD_ID. 0, or -errno as timer_create(2) has them; EAGAIN also without a hidden
// thread. The number is the kernel's: to be armed, looked at and deleted with its calls.
long create_directed_timer(clockid_t clock, const sigevent& event, Coroutine* target, int* number);

// timer_getoverrun(2); -1: none of these timers.
int directed_timer_overrun(int number);
// After the kernel has deleted it; anybody's.
void directed_timer_deleted(int number);

// A timer's signal has been taken from what was pending for a coroutine. Async-signal-safe.
void directed_timer_delivered(int number, int overrun);

// A child has no timers (fork(2)).
void directed_timers_after_fork_in_child();

}  // namespace coshim
