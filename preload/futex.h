// futex(2) for the syscall() hook: libstdc++'s atomic waits and static-local guards, Rust's std, and whoever
// makes its own locks.
#pragma once

#include <stdint.h>
#include <time.h>

namespace coshim {

// A value or -errno. `timeout` is the timespec of the waits; for FUTEX_REQUEUE, FUTEX_CMP_REQUEUE and
// FUTEX_WAKE_OP its bits are the second value, as in the kernel's interface.
long futex_call(const uint32_t* address, int operation, uint32_t value, const timespec* timeout_or_value2,
                uint32_t* address2, uint32_t value3);

}  // namespace coshim
