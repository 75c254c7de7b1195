// Signals and coroutines (DESIGN §9). Handlers of the program run through a trampoline of ours, installed when the first thread
// is created, so that
//   - they are put off while the runtime holds a lock (runtime/thread/critical.h),
//   - a signal sent to one coroutine is handled on that coroutine,
//   - a stack overflow is reported before the program's own SIGSEGV handler or the default acts.
// The kernel mask of a worker follows the mask of the coroutine that it runs.
#pragma once

#include <signal.h>

#include "runtime/thread/thread.h"

namespace coshim {

// With the first coroutine: takes over the handlers that are installed already, and SIGSEGV and SIGBUS.
void signals_start();
bool signals_started();

// The kernel's struct sigaction (rt_sigaction(2)).
struct KernelAction {
  void* handler;
  unsigned long flags;
  void* restorer;
  sys::KernelSignalSet mask;
};

// sigaction(2) as the program sees it: what it set is what it gets back. 0 or -errno. After signals_start() only.
long program_action(int signal, const KernelAction* action, KernelAction* old);

// A handler of the shim's own, invisible to program_action.
void install_own_handler(int signal, void (*handler)(int, siginfo_t*, void*));

// Changes the calling coroutine's mask (rt_sigprocmask's `how`). 0 or -EINVAL.
long change_coroutine_mask(int how, const sys::KernelSignalSet* set, sys::KernelSignalSet* old);

// pthread_kill(3) to a coroutine: 0 or an error number. The handler runs on the target: at once if it runs, else it is woken
// and its wait is interrupted. Async-signal-safe.
int signal_coroutine(Coroutine* target, int signal);

// What the calling coroutine does when a wait of its ended because of kInterruptSignal: runs the handlers of its pending,
// unblocked signals. True: at least one handler ran. *restart: all of them were installed with SA_RESTART.
bool take_pending_signals(bool* restart);

// Signals of `set` pending for the calling coroutine alone: takes one and returns its number, else 0 (sigwait).
int take_pending_signal_of(sys::KernelSignalSet set);

// sigaltstack(2) of a coroutine: kept per coroutine; the kernel's belongs to the worker. 0 or -errno.
long coroutine_alternate_stack(const stack_t* stack, stack_t* old);

// A non-local jump out of a handler (siglongjmp): the handler is over. `mask_after` is the mask that will hold then, if known.
void left_handler_by_jump(const sys::KernelSignalSet* mask_after);

// Prints the overflow report for a fault inside `slot`'s guard (runtime/diag/overflow.cpp). Async-signal-safe.
void report_stack_overflow(const StackSlot* slot, const void* address, const void* context);

}  // namespace coshim
