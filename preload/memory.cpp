// Memory of our stacks that the program takes into its own hands.
#include "preload/hook.h"
#include "runtime/stack/slot.h"

namespace coshim {

// Guard zones in a thread's own stack, as the Java machine makes them: saving and bringing back would undo
// them, so such a stack keeps its pages.
HOOK(int, mprotect, (void* address, size_t length, int protection)) {
  if (in_slots(address)) keep_slots(address, length);
  return real::mprotect(address, length, protection);
}

HOOK(int, pkey_mprotect, (void* address, size_t length, int protection, int key)) {
  if (in_slots(address)) keep_slots(address, length);
  return real::pkey_mprotect(address, length, protection, key);
}

}  // namespace coshim
