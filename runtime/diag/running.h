#pragma once

namespace coshim {

// In the dump signal's handler: if the dump asked for this kernel thread, stands still until it has been
// walked. True: it had asked. Async-signal-safe.
bool stand_still_for_dump(const void* ucontext);

}  // namespace coshim
