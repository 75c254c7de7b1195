// A call that blocks the kernel thread under a coroutine. The scheduler is told, so that others go on (DESIGN
// §6). On a kernel thread of the program it does nothing.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

// `likely_long`: hand the processor on at once; otherwise the monitor takes it when the call stays.
void begin_blocking(const char* call_name, bool likely_long);
void end_blocking();
// The calling coroutine keeps its kernel thread, and its processor goes to another worker, without a name.
void hand_processor_on();

// errno is untouched by both ends.
class BlockingRegion {
 public:
  explicit BlockingRegion(const char* call_name, bool likely_long = true)
      : active_(t_local.coroutine != nullptr) {
    if (active_) begin_blocking(call_name, likely_long);
  }
  ~BlockingRegion() {
    if (active_) end_blocking();
  }
  BlockingRegion(const BlockingRegion&) = delete;
  BlockingRegion& operator=(const BlockingRegion&) = delete;

 private:
  bool active_;
};

}  // namespace coshim
