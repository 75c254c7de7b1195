// The dump (DESIGN §11): every coroutine with its state, what it waits for and since when, and its backtrace.
// Asked for by a signal, written by a hidden thread that exists only while it writes, never inside the signal
// handler; so it works while every worker is stuck.
#pragma once

namespace coshim {

// Installs the handler of COSHIM_DUMP_SIGNAL where the program has none of its own. With the first coroutine.
void dump_start();
// Ahead of that, where hidden threads that do not block the signal are about to be made: it would kill.
void dump_prepare();

// Called by the monitor: writes the dump if one was asked for since.
void dump_if_requested();
bool dump_requested();
// False once the program has set an action of its own for the signal.
bool dump_signal_is_ours();

// The thread that wrote a dump is not there.
void dump_after_fork_in_child();

}  // namespace coshim
