// What every hook that waits shares: cancellation points and the rules for interrupted calls.
#pragma once

namespace coshim {

// The real pthread_testcancel(): does not return when a cancellation is pending and enabled.
// Hold no lock and no object whose destructor matters: this code is built without exceptions and would not
// run it.
void cancellation_point();

// After the calling coroutine gave its kernel thread away in a call that is no cancellation point: acts on a
// cancellation whose type is asynchronous, for which no kernel thread of its could get glibc's signal
// meanwhile.
void asynchronous_cancellation_point();

// After a wait was interrupted, whose calls signal(7) lists as never restarted: runs the handlers of what is
// pending. Without a signal it was a cancellation that cannot act, and the wait goes on.
enum class AfterInterrupt { handler, nothing };
AfterInterrupt after_interrupt();

// After a wait ended because a signal handler ran: may the call go on (SA_RESTART, signal(7))? For calls that
// signal(7) lists as never restarted, don't ask: give EINTR.
bool restart_after_signal();

}  // namespace coshim
