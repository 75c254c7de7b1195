// What the runtime counts, put together: for the live file (statistics_file.cpp), the dump's header and the
// summary at exit.
#pragma once

#include <stddef.h>

#include "runtime/base/clock.h"
#include "runtime/diag/statistics_layout.h"

namespace coshim {

// Everything but `sequence`. Walks all threads; takes only locks that are held for moments. No malloc.
void collect_statistics(Statistics* statistics);
// The calls alone, most time first, same names added up; the rest of `calls` is left empty.
void collect_blocked_calls(BlockedCall (&calls)[kBlockedCalls]);

// The live file. Asked for by the dump signal's handler (async-signal-safe); the rest is the monitor's.
void statistics_ask();
bool statistics_asked();
void statistics_refresh_if_asked();
// When the monitor has to look again (CLOCK_MONOTONIC): the lease ends then. kForever: there is no file.
Nanoseconds statistics_lease_end();
void statistics_end_lease();  // removes the file if the lease is over
// At an orderly exit: removes the file, and makes no other.
void statistics_remove();
void statistics_after_fork_in_child();

// kSharedFileFormat for this process.
void shared_file_path(char* buffer, size_t size, const char* suffix);

// The summary at exit (COSHIM_STATS=1), once a process, on stderr or COSHIM_LOG_PATH; and
// statistics_remove(). To be called on every way out.
void statistics_at_exit();

}  // namespace coshim
