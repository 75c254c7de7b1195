// What the kernel keeps per thread, and we do not switch: file-system ids, credentials set by number,
// capabilities, namespaces, a seccomp filter for one thread. A coroutine that changes one of
// them gets the kernel thread underneath for itself, so that nobody else runs with it.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

// The caller is about to, and the runtime has started. A coroutine stays on its kernel thread from now on,
// which ends with it; no other coroutine runs there, and no hidden thread is made from there (clone(2): it
// would inherit).
void keep_kernel_thread();

// The caller has done so: threads that it creates are to come from its kernel thread, and so native.
inline bool keeps_kernel_thread() {
  const Coroutine* self = t_local.coroutine;
  return self != nullptr ? self->keeps_thread : t_local.changed_alone;
}

}  // namespace coshim
