// Who looks over the process's shoulder: a seccomp filter (seccomp(2)), which may answer a system call that
// it does not expect by killing the process, so that what the program would not call itself is left out; or a
// debugger (ptrace(2)).
#pragma once

namespace coshim {

// By /proc/self/status; true where that can't be read. Makes three plain system calls.
bool under_seccomp();
// From now on under_seccomp() is true, without a call.
void note_seccomp();
// What note_seccomp() noted.
bool noted_seccomp();
// gdb, strace or their like has it in hand. False where that can't be read.
bool under_debugger();

}  // namespace coshim
