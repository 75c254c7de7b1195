// Signals and coroutines (DESIGN §9). Handlers of the program run through a trampoline of ours, installed
// when the first thread is created, so that
//   - they are put off while the runtime holds a lock (runtime/thread/critical.h),
//   - a signal sent to one coroutine is handled on that coroutine,
//   - a stack overflow is reported before the program's own SIGSEGV handler or the default acts.
// The kernel mask of a worker follows the mask of the coroutine that it runs; asleep, it blocks everything.
//
//   signals.cpp          actions, the trampoline, faults
//   signal_delivery.cpp  masks, what is pending for a coroutine, waiting for signals
#pragma once

#include <signal.h>

#include "runtime/thread/thread.h"

namespace coshim {

// With the first coroutine: takes over the handlers that are installed already, and SIGSEGV and SIGBUS.
void signals_start();
bool signals_started();
void lock_signals_for_fork();
void unlock_signals_after_fork();
// The child is `self` alone (null: it was a kernel thread), now a kernel thread.
void signals_after_fork_in_child(const Coroutine* self);

// The kernel's struct sigaction (rt_sigaction(2)).
struct KernelAction {
  void* handler;
  unsigned long flags;
  void* restorer;
  sys::KernelSignalSet mask;
};

// sigaction(2) as the program sees it: what it set is what it gets back. 0 or -errno. After signals_start()
// only.
long program_action(int signal, const KernelAction* action, KernelAction* old);

// A handler of our own for `signal`, not to be seen by program_action: it counts as the default until the
// program sets something.
void install_own_handler(int signal, void (*handler)(int, siginfo_t*, void*));

// After a pthread_cancel(): glibc's handler for its SIGCANCEL acts on whatever thread it finds, so it is
// called through ours.
void guard_cancel_signal();
// pthread_cancel of a coroutine whose cancellation is asynchronous: the signal that glibc could not send. It
// goes to the kernel thread that runs the target; else the target sends it to itself when it runs again.
void send_cancel_signal(Coroutine* target);
// Outside of queues and critical sections: does not return if the calling coroutine is to end.
void send_due_cancel_signal(Coroutine* self);

// Changes the calling coroutine's mask (rt_sigprocmask's `how`). 0 or -EINVAL.
long change_coroutine_mask(int how, const sys::KernelSignalSet* set, sys::KernelSignalSet* old);

// pthread_kill(3) and, with `info`, pthread_sigqueue(3) to a coroutine: 0 or an error number. The handler
// runs on the target: at once if it runs, else it is woken and, if it waits interruptibly, its wait ends.
// Async-signal-safe.
int signal_coroutine(Coroutine* target, int signal, const siginfo_t* info = nullptr);
// A call of the calling thread has failed with EPIPE or EFBIG: the kernel has sent SIGPIPE or SIGXFSZ to the
// kernel thread underneath (signal(7): to the thread that wrote). Where the coroutine blocks it, it is
// pending there, and would meet whoever runs there next: it becomes pending for the coroutine.
void keep_write_signal(int error);
// raise(3), of a signal that the calling coroutine may have blocked.
int signal_itself(int signal);

// Runs the handlers of the calling coroutine's pending, unblocked signals. After a wait ended because of
// kInterruptSignal, t_local.no_restart then says what SA_RESTART says.
void run_pending_handlers();
// A new life of the record: nothing is pending.
void discard_pending_signals(Coroutine* coroutine);

// Signals of `set` pending for the calling coroutine alone: takes one and returns its number, else 0.
int take_pending_signal(sys::KernelSignalSet set, siginfo_t* info);

// Around a wait for signals in the kernel, in a blocking region: signals that are sent to the calling
// coroutine meanwhile reach its kernel thread even if they are blocked. They come as an attention
// (is_attention): then take_pending_signal().
void begin_signal_wait();
void end_signal_wait();
bool is_attention(const siginfo_t* info);
// A signal may come a second time, sent by ourselves: makes its info what it was.
void restore_info(siginfo_t* info);
// sigsuspend(2)'s preparation: blocks everything in the kernel, and what is pending becomes pending there.
// Then the real sigsuspend(), until t_local.handlers_run shows that a handler ran; then end. Also inside a
// handler, whose mask is the kernel's: garbage collectors stop threads there.
struct SuspendedMasks {
  sys::KernelSignalSet kernel, recorded;
};
SuspendedMasks begin_signal_suspend(sys::KernelSignalSet mask);
void end_signal_suspend(const SuspendedMasks& before);

// sigaltstack(2) of a coroutine: kept per coroutine; the kernel's belongs to the worker. 0 or -errno.
long coroutine_alternate_stack(const stack_t* stack, stack_t* old);

// About to jump (longjmp(3), setcontext(3)) to a frame at `stack_pointer`: the handlers that this leaves are
// over. `mask_after` is the mask that libc will set, null: none.
void about_to_jump(uintptr_t stack_pointer, const sys::KernelSignalSet* mask_after);
// All handlers of the calling thread are over; the mask stays as it is.
void leave_all_handlers();

// Signals for the process that main does not accept (it blocks them, or has ended) may be for a parked
// coroutine: workers asleep block everything, so the poller looks after them from now on.
void watch_signals(sys::KernelSignalSet signals);
void forget_watched_signals();
extern std::atomic<sys::KernelSignalSet> g_watched_signals;
// On a worker without a coroutine, which blocks all signals: takes what is pending and gives it to coroutines
// that accept it. With `take_all`, also what was put off on this kernel thread; what nobody accepts goes back
// to the process.
void hand_out_signals(bool take_all);

// Prints the overflow report for a fault inside `slot`'s guard (runtime/diag/overflow.cpp).
// Async-signal-safe.
void report_stack_overflow(const StackSlot* slot, const void* address, const void* context);

}  // namespace coshim
