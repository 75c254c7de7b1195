#include "preload/kernel_wait.h"

#include "preload/cancel.h"
#include "runtime/wait/parker.h"

namespace coshim {

long pause_until(Nanoseconds deadline, bool* restart) {
  Thread* self = current_thread();
  {
    WaitReason reason(self, WaitKind::place, nullptr);
    while (self->interrupts.load(std::memory_order_acquire) == 0) {
      if (monotonic_now() >= deadline) return 0;
      park(self, deadline);
    }
  }
  bool was_signal = (self->interrupts.load(std::memory_order_acquire) & kInterruptSignal) != 0;
  *restart = restart_after_signal();
  return was_signal ? -EINTR : 0;
}

}  // namespace coshim
