// setuid(2) and its like change the whole process: glibc makes every kernel thread do it, by a signal of its
// own (nptl(7)).
#pragma once

namespace coshim {

// Once a first kernel thread has been made, which installs glibc's handler.
void guard_setxid_signal();

}  // namespace coshim
