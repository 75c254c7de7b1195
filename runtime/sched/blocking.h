// A call that blocks the kernel thread under a coroutine. The scheduler is told, so that others go on (DESIGN
// §6). On a kernel thread of the program it does nothing.
#pragma once

#include "runtime/sched/call_counters.h"
#include "runtime/thread/thread.h"
#include "runtime/thread/unwind_start.h"

namespace coshim {

struct BlockingCall {
  CallCounter* counter;
  uint64_t since;             // tick_counter()
  const UnwindStart* before;  // Thread::blocked_at
};
// `likely_long`: hand the processor on at once; otherwise the monitor takes it when the call stays.
// `where` is valid until the end.
BlockingCall begin_blocking(const char* call_name, bool likely_long, const UnwindStart* where);
void end_blocking(const BlockingCall& call);
// The calling coroutine keeps its kernel thread, and its processor goes to another worker, without a name.
void hand_processor_on();

// errno is untouched by both ends.
class BlockingRegion {
 public:
  // Inlined, since the registers must be those of a frame that stays: the dump walks from there.
  __attribute__((always_inline)) explicit BlockingRegion(const char* call_name, bool likely_long = true)
      : active_(t_local.coroutine != nullptr) {
    if (!active_) return;
    here(&where_);
    call_ = begin_blocking(call_name, likely_long, &where_);
  }
  ~BlockingRegion() {
    if (active_) end_blocking(call_);
  }
  BlockingRegion(const BlockingRegion&) = delete;
  BlockingRegion& operator=(const BlockingRegion&) = delete;

 private:
  bool active_;
  BlockingCall call_;
  UnwindStart where_;
};

}  // namespace coshim
