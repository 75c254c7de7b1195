// Threads of the Go runtime (programs and libraries built with cgo) stay native: it makes its system calls
// itself, and gives each kernel thread a signal stack, a tid and a place in its scheduler that are not to
// move.
#pragma once

namespace coshim {

// Is this a thread of a Go program, or does its start routine lie in a library that Go built?
bool belongs_to_go(void* (*start_routine)(void*));

}  // namespace coshim
