// The orderly ways out of a process, for what remains to be done there: the summary of COSHIM_STATS=1, and
// the live statistics' file. exit(3), the return from main and the end of the last thread come by the
// destructor, which the dynamic loader calls after the program's own; the others by name or number. A signal
// that kills, abort(3) and execve(2) leave no room for it.
#include <unistd.h>

#include "preload/hook.h"
#include "runtime/diag/statistics.h"

namespace coshim {

namespace {

__attribute__((destructor)) void unload() {
  statistics_at_exit();
}

}  // namespace

// What libc's own does; async-signal-safe, so without looking for it. A vfork's child ends in its parent's
// memory.
HOOK(void, _exit, (int status)) {
  if (!t_local.vfork_child) statistics_at_exit();
  for (;;) sys::call(SYS_exit_group, status);
}

HOOK(void, quick_exit, (int status)) {
  if (!t_local.vfork_child) statistics_at_exit();
  real::quick_exit(status);
}

}  // namespace coshim
