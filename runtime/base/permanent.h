// Small pieces of memory that are never given back: they stay with a record of a type-stable pool.
#pragma once

#include <stddef.h>

namespace coshim {

// Zeros, aligned to 16; null when memory ends. Async-signal-safe only inside a CriticalSection.
void* permanent_memory(size_t size);
void permanent_memory_reset_after_fork();

}  // namespace coshim
