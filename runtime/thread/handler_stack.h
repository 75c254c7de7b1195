// Where the running handlers of the program stand on a worker, so that one that is left by a jump is told
// from one that jumps about inside itself, or from an inner one (setjmp(3) in a handler that then touches
// memory which may not be there).
#pragma once

#include <signal.h>
#include <stdint.h>

namespace coshim {

// Deeper ones are taken to be left by any jump.
constexpr int kNestedHandlers = 8;

struct HandlerStack {
  // Its frames lie in [low, start). All zero: on a stack that we know nothing of.
  uintptr_t low = 0, start = 0;
  stack_t alternate = {};  // the kernel's meanwhile: what of the worker's is left below the kernel's frames
};

}  // namespace coshim
