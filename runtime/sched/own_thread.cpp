#include "runtime/sched/own_thread.h"

#include "runtime/sched/blocking.h"
#include "runtime/sched/processor.h"

namespace coshim {

void keep_kernel_thread() {
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) t_local.changed_alone = true;
  if (keeps_kernel_thread()) return;
  self->keeps_thread = true;
  self->bound.store(true, std::memory_order_relaxed);
  t_local.worker->ends = true;
  // Now, while a worker that has to be made for the processor would still be an ordinary one.
  hand_processor_on();
}

}  // namespace coshim
