// Is this memory of this process alone? A futex without FUTEX_PRIVATE_FLAG in it has no waker elsewhere, so
// its waiters may wait in the parking lot. The kernel is asked once a mapping; the answer holds until the
// program makes a shared mapping, which could lie where a private one was.
#pragma once

namespace coshim {

bool is_private_memory(const void* address);
// Before the program makes a shared mapping (mmap, mremap, shmat).
void forget_private_memory();

}  // namespace coshim
