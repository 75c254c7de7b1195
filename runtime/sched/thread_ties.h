// What the kernel ties to the thread that began it, so that it ends with that thread: requests of an io_uring
// that are under way are cancelled, and children that asked for it get their PR_SET_PDEATHSIG (prctl(2)). A
// hidden kernel thread must not end as long as there may be any of what coroutines began on it.
#pragma once

namespace coshim {

// The process has an io_uring of the program's, or a child. Some system calls for each descriptor.
bool threads_may_be_tied();

}  // namespace coshim
