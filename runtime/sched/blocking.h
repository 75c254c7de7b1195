// A call that blocks the kernel thread under a coroutine. The scheduler is told, so that others go on (DESIGN
// §6). On a kernel thread of the program it does nothing.
#pragma once

#include "runtime/sched/call_counters.h"
#include "runtime/thread/thread.h"

namespace coshim {

struct BlockingCall {
  CallCounter* counter;
  uint64_t since;  // tick_counter()
};
// `likely_long`: hand the processor on at once; otherwise the monitor takes it when the call stays.
BlockingCall begin_blocking(const char* call_name, bool likely_long);
void end_blocking(const BlockingCall& call);

// errno is untouched by both ends.
class BlockingRegion {
 public:
  explicit BlockingRegion(const char* call_name, bool likely_long = true)
      : active_(t_local.coroutine != nullptr) {
    if (active_) call_ = begin_blocking(call_name, likely_long);
  }
  ~BlockingRegion() {
    if (active_) end_blocking(call_);
  }
  BlockingRegion(const BlockingRegion&) = delete;
  BlockingRegion& operator=(const BlockingRegion&) = delete;

 private:
  bool active_;
  BlockingCall call_;
};

}  // namespace coshim
