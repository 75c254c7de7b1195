// The kernel threads of our own: workers, monitor, saver. They block every signal, are never real-time ones
// whoever makes them, and nobody joins them.
#pragma once

#include <stddef.h>

namespace coshim {

// Starts routine(argument) with `stack_size` bytes (kernel_thread_stack(), runtime/thread/tcb.h): on `stack`,
// or on memory of libc's where that is null. 0, or pthread_create(3)'s error number.
int start_hidden_thread(void* (*routine)(void*), void* argument, size_t stack_size, void* stack = nullptr);

}  // namespace coshim
