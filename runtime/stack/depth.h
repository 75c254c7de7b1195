// How deep stacks have been, as far as anybody looked: the saver before it gives pages back, and the dump.
#pragma once

#include <stddef.h>

namespace coshim {

struct StackSlot;

// Bytes from the end of the slot down to the lowest page that was touched; from `high` on, a page boundary,
// all are known to be. A stretch of 256 KiB that nobody touched ends the search: what lies below it (the far
// end of a large array, say) is not seen. mincore(2); async-signal-safe.
size_t touched_depth(const StackSlot* slot, const char* high);
size_t touched_depth(const StackSlot* slot);  // all of it

// The deepest of all stacks so far, in bytes.
void note_depth(size_t bytes);
size_t deepest_stack();

}  // namespace coshim
