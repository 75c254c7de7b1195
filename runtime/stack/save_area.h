// Where the bytes of a stack live while it has no pages: areas of nearly exact size, from size classes
// (DESIGN §4). Released areas are kept for the next stack of their class. Never calls malloc: a stack may be
// brought back in a signal handler, on the touch of another thread.
#pragma once

#include <stddef.h>

namespace coshim {

// At least `size` bytes, 16-byte aligned, contents undefined; null when memory ends. Thread-safe; takes one
// lock for a few instructions, so not in code that may be interrupted by a handler that does it too.
void* acquire_save_area(size_t size);
// `size` as it was asked for.
void release_save_area(void* area, size_t size);

// Bytes that are handed out, and bytes that were taken from the system for them.
struct SaveAreaStatistics {
  size_t used, reserved;
};
SaveAreaStatistics save_area_statistics();

// Held across fork(), so that the child finds the free lists whole.
void lock_save_areas_for_fork();
void unlock_save_areas_after_fork(bool child);

}  // namespace coshim
