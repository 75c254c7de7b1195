// Whether the process runs under a seccomp filter (seccomp(2)), which may answer a system call that it does
// not expect by killing the process. What the program would not call itself is then left out.
#pragma once

namespace coshim {

// By /proc/self/status; true where that can't be read. Makes three plain system calls.
bool under_seccomp();
// From now on under_seccomp() is true, without a call.
void note_seccomp();
// What note_seccomp() noted.
bool noted_seccomp();

}  // namespace coshim
