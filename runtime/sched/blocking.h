// A call that blocks the kernel thread under a coroutine. The scheduler is told, so that others go on (DESIGN
// §6). On a kernel thread of the program it does nothing.
#pragma once

#include <errno.h>

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
    handlers_before_ = t_local.handlers_run;
    freezes_before_ = t_local.coroutine->freezes;
    here(&where_);
    call_ = begin_blocking(call_name, likely_long, &where_);
  }
  ~BlockingRegion() {
    if (active_) end_blocking(call_);
  }
  BlockingRegion(const BlockingRegion&) = delete;
  BlockingRegion& operator=(const BlockingRegion&) = delete;

  // The call failed with EINTR, but no handler of the program ran: its stack was needed meanwhile
  // (runtime/sched/shared_switch.h), and what SA_RESTART does not restart is up to us.
  bool was_frozen() {
    if (!active_ || t_local.handlers_run != handlers_before_) return false;
    const uint32_t before = freezes_before_;
    freezes_before_ = t_local.coroutine->freezes;
    return freezes_before_ != before;
  }
  // Makes the call until it is not interrupted so. Its result is a value or -errno, or -1 with errno.
  template <typename Call>
  auto repeat(Call&& call) {
    for (;;) {
      auto result = call();
      bool interrupted = result == -EINTR || (result == -1 && errno == EINTR);
      if (__builtin_expect(!interrupted, 1) || !was_frozen()) return result;
    }
  }

 private:
  bool active_;
  BlockingCall call_;
  uint32_t handlers_before_ = 0;
  uint32_t freezes_before_ = 0;
  UnwindStart where_;
};

// For calls that do not wait: the kernel says EINTR to them too when a signal comes, also the one of a shared
// stack's turn (runtime/sched/shared_switch.h), which is not the program's. Results as in repeat().
template <typename Call>
auto undisturbed(Call&& call) {
  const Coroutine* self = t_local.coroutine;
  for (;;) {
    const uint32_t freezes = self != nullptr ? self->freezes : 0, handlers = t_local.handlers_run;
    auto result = call();
    bool interrupted = result == -EINTR || (result == -1 && errno == EINTR);
    bool frozen = self != nullptr && self->freezes != freezes && t_local.handlers_run == handlers;
    if (__builtin_expect(!interrupted || !frozen, 1)) return result;
  }
}

}  // namespace coshim
