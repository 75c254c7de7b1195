// Signals and coroutines: handlers of the program run through a trampoline of ours, so that they are put off while the runtime
// holds a lock, and so that a stack overflow is reported before the program's own SIGSEGV handler or default acts.
#pragma once

#include <signal.h>

#include "runtime/thread/thread.h"

namespace coshim {

// With the first coroutine: takes over the handlers that are installed already, and SIGSEGV and SIGBUS.
void signals_start();

// sigaction(2) and relatives as the program sees them: what it set is what it gets back.
int program_sigaction(int signal, const struct sigaction* action, struct sigaction* old);

}  // namespace coshim
