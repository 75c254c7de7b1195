// The table for debuggers (runtime/diag/debugger.h).
#include "runtime/diag/debugger.h"

#include <stddef.h>

#include "preload/swap/swap.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/compact.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/thread.h"

// Of types with a base class: what gcc and clang give on this ABI is right (C++17 leaves it to them,
// support.types.layout).
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace coshim {
namespace {

constexpr const char* kStates[] = {"free", "starting", "runnable", "running", "parked", "ended"};
// As WaitKind.
constexpr const char* kWaits[] = {
    "",      "sleep",     "read",          "write",          "accept",    "connect",      "poll",
    "mutex", "condition", "rwlock (read)", "rwlock (write)", "semaphore", "barrier",      "join",
    "futex", "once",      "spin lock",     "signal",         "place",     "blocking call"};
constexpr size_t kWaitCount = sizeof(kWaits) / sizeof(kWaits[0]);
static_assert(kWaitCount == static_cast<size_t>(WaitKind::blocked_call) + 1, "a name for every kind");

template <typename T>
constexpr uint32_t narrow(T value) {
  return static_cast<uint32_t>(value);
}

}  // namespace

extern "C" {
__attribute__((visibility("default"))) extern const DebuggerInterface coshim_debugger;
}
const DebuggerInterface coshim_debugger = {
    kDebuggerInterface,
    sizeof(DebuggerInterface),
    &g_pool_layout,
    sizeof(Coroutine),
    narrow(offsetof(Coroutine, state)),
    narrow(offsetof(Coroutine, residency)),
    narrow(offsetof(Coroutine, saved)),
    narrow(offsetof(Coroutine, wait_kind)),
    narrow(offsetof(Coroutine, wait_object)),
    narrow(offsetof(Coroutine, stack_pointer)),
    narrow(offsetof(Coroutine, fs_base)),
    narrow(offsetof(Coroutine, id)),
    narrow(offsetof(Coroutine, tid)),
    narrow(offsetof(Coroutine, name)),
    narrow(offsetof(Coroutine, start_routine)),
    kStates,
    narrow(sizeof(kStates) / sizeof(kStates[0])),
    kWaits,
    kWaitCount,
    {narrow(offsetof(SwapFrame, r15)), narrow(offsetof(SwapFrame, r14)), narrow(offsetof(SwapFrame, r13)),
     narrow(offsetof(SwapFrame, r12)), narrow(offsetof(SwapFrame, rbx)), narrow(offsetof(SwapFrame, rbp)),
     narrow(offsetof(SwapFrame, rip))},
    sizeof(SwapFrame),
    &g_scheduler.workers,
    narrow(offsetof(Worker, next)),
    narrow(offsetof(Worker, tid)),
    narrow(offsetof(Worker, current)),
    narrow(offsetof(CompactStack, low)),
    narrow(offsetof(CompactStack, pages)),
    sizeof(CompactStack),
    narrow(offsetof(Coroutine, shared_stack)),
    narrow(offsetof(Coroutine, saved_bytes)),
    narrow(offsetof(Coroutine, saved_size)),
    narrow(offsetof(Coroutine, frozen)),
    narrow(offsetof(Coroutine, frozen_context)),
    narrow(offsetof(Coroutine, freezes)),
    narrow(offsetof(SharedStack, occupant)),
    narrow(offsetof(SharedStack, top)),
};

}  // namespace coshim
