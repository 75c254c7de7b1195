// A stretch of runtime code during which the program's signal handlers are put off: they may call sem_post,
// write, ... and so come back into the runtime, which must not hold a lock then (contract rule 2, DESIGN §7).
// Costs two plain memory increments. The handler trampoline (runtime/thread/signals.h) sees `critical` and
// re-queues the signal to this kernel thread, blocked; leaving the section restores the mask, and the kernel
// delivers it.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

void deliver_deferred_signals();

inline void enter_critical() {
  t_local.critical = t_local.critical + 1;
  __asm__ volatile("" ::: "memory");
}
inline void leave_critical() {
  __asm__ volatile("" ::: "memory");
  uint32_t depth = t_local.critical - 1;
  t_local.critical = depth;
  __asm__ volatile("" ::: "memory");  // what was put off until here must be seen
  if (__builtin_expect(depth == 0 && t_local.signals_deferred, 0)) deliver_deferred_signals();
}

class CriticalSection {
 public:
  CriticalSection() { enter_critical(); }
  ~CriticalSection() { leave_critical(); }
  CriticalSection(const CriticalSection&) = delete;
  CriticalSection& operator=(const CriticalSection&) = delete;
};

}  // namespace coshim
