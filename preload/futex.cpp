// Futexes in memory of this process alone wait in the lot, coroutines and kernel threads alike, so that who
// came first is served first. What waits inside the kernel all the same (calls that bypass us) is woken with
// what the lot left over. Shared and priority-inheriting ones are the kernel's.
#include "preload/futex.h"

#include <errno.h>
#include <linux/futex.h>

#include "preload/sync.h"
#include "preload/user_memory.h"
#include "runtime/base/private_memory.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

constexpr int kFlags = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;

struct Call {
  const uint32_t* address;
  int operation;
  uint32_t value;
  const timespec* timeout_or_value2;
  uint32_t* address2;
  uint32_t value3;

  int command() const { return operation & ~kFlags; }
  int privacy() const { return operation & FUTEX_PRIVATE_FLAG; }
  uint32_t value2() const { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(timeout_or_value2)); }
  long in_kernel() const {
    return sys::call(SYS_futex, address, operation, value, timeout_or_value2, address2, value3);
  }
};

// Aligned, and in a user's half without the first page. (Whether it is mapped would cost a system call.)
bool may_be_word(const uint32_t* address) {
  constexpr uintptr_t kFirstPage = 4096, kUsersHalf = uintptr_t{1} << 47;
  const auto number = reinterpret_cast<uintptr_t>(address);
  return number % sizeof(uint32_t) == 0 && number >= kFirstPage && number < kUsersHalf;
}

bool sleeps_in_kernel(const Call& call) {
  switch (call.command()) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_WAIT_REQUEUE_PI:
      return true;
    default:
      return false;
  }
}

long pass_on(const Call& call) {
  if (!sleeps_in_kernel(call)) return call.in_kernel();
  BlockingRegion region("futex");
  return region.repeat([&] { return call.in_kernel(); });
}

long wait(const Call& call) {
  uint32_t bits = call.command() == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : call.value3;
  if (bits == 0) return -EINVAL;
  const timespec* timeout = call.timeout_or_value2;
  if (!absent_or_readable(timeout)) return -EFAULT;
  if (timeout != nullptr && (!valid_timespec(*timeout) || timeout->tv_sec < 0)) return -EINVAL;
  ProgramDeadline deadline;
  timespec end;
  if (timeout != nullptr && call.command() == FUTEX_WAIT) {  // an interval
    end = to_timespec(deadline_after(to_nanoseconds(*timeout)));
    deadline = {CLOCK_MONOTONIC, &end};
  } else if (timeout != nullptr) {
    deadline = {(call.operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, timeout};
  }
  LotWaiter waiter(call.address, WaitKind::futex, bits);
  if (!waiter.enqueue_if(call.address, call.value)) return -EAGAIN;
  for (;;) {
    switch (waiter.wait(deadline, true)) {
      case WaitResult::woken:
        return 0;
      case WaitResult::timed_out:
        return -ETIMEDOUT;
      case WaitResult::interrupted:
        break;
    }
    uint32_t interrupts = take_interrupts(waiter.thread());
    // Not a cancellation point. A wait with a timeout is not restarted after a handler.
    bool restart = run_handlers(interrupts) && timeout == nullptr;
    if ((interrupts & kInterruptSignal) != 0 && !restart) return waiter.leave() ? 0 : -EINTR;
  }
}

// The kernel counts the one that it has woken before it compares: zero and negative counts wake one.
int count_of(uint32_t value) {
  return static_cast<int>(value) > 0 ? static_cast<int>(value) : 1;
}

long wake_at(const Call& call, const uint32_t* address, int count, uint32_t bits) {
  // The program has changed the word before the call, perhaps with a plain store.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  int woken = lot_has_waiters(address) ? lot_wake(address, count, bits) : 0;
  if (woken >= count) return woken;
  long more = sys::call(SYS_futex, address, FUTEX_WAKE_BITSET | call.privacy(), count - woken, nullptr,
                        nullptr, bits);
  return more < 0 ? (woken > 0 ? woken : more) : woken + more;
}

long wake(const Call& call) {
  uint32_t bits = call.command() == FUTEX_WAKE ? FUTEX_BITSET_MATCH_ANY : call.value3;
  return bits == 0 ? -EINVAL : wake_at(call, call.address, count_of(call.value), bits);
}

long requeue(const Call& call) {
  int wake = static_cast<int>(call.value);
  int move = static_cast<int>(call.value2());
  if (wake < 0 || move < 0) return -EINVAL;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const uint32_t* expected = call.command() == FUTEX_CMP_REQUEUE ? &call.value3 : nullptr;
  int moved = 0;
  int done = lot_requeue(call.address, wake, call.address2, move, expected, &moved);
  if (done < 0) return done;
  int woken = done - moved;
  if (woken >= wake && moved >= move) return done;
  long more = sys::call(SYS_futex, call.address, FUTEX_REQUEUE | call.privacy(), wake - woken, move - moved,
                        call.address2);
  return more < 0 ? (done > 0 ? done : more) : done + more;
}

// FUTEX_WAKE_OP packs an operation on *address2 and a comparison of its old value into value3 (futex(2)).
struct WakeOperation {
  unsigned operation, comparison;
  int operand, compared;
};
int sign_extend_12(uint32_t value) {
  return static_cast<int>(value << 20) >> 20;
}

bool unpack(uint32_t packed, WakeOperation* unpacked) {
  unpacked->operation = (packed >> 28) & 7;
  unpacked->comparison = (packed >> 24) & 15;
  unpacked->operand = sign_extend_12(packed >> 12);
  unpacked->compared = sign_extend_12(packed);
  if ((packed >> 28 & FUTEX_OP_OPARG_SHIFT) != 0) {
    unpacked->operand = static_cast<int>(1U << (static_cast<unsigned>(unpacked->operand) & 31));
  }
  return unpacked->operation <= FUTEX_OP_XOR && unpacked->comparison <= FUTEX_OP_CMP_GE;
}

uint32_t apply(const WakeOperation& wake, uint32_t* word) {
  uint32_t operand = static_cast<uint32_t>(wake.operand);
  switch (wake.operation) {
    case FUTEX_OP_SET:
      return __atomic_exchange_n(word, operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_ADD:
      return __atomic_fetch_add(word, operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_OR:
      return __atomic_fetch_or(word, operand, __ATOMIC_SEQ_CST);
    case FUTEX_OP_ANDN:
      return __atomic_fetch_and(word, ~operand, __ATOMIC_SEQ_CST);
    default:
      return __atomic_fetch_xor(word, operand, __ATOMIC_SEQ_CST);
  }
}

bool compare(const WakeOperation& wake, uint32_t old) {
  int value = static_cast<int>(old);
  switch (wake.comparison) {
    case FUTEX_OP_CMP_EQ:
      return value == wake.compared;
    case FUTEX_OP_CMP_NE:
      return value != wake.compared;
    case FUTEX_OP_CMP_LT:
      return value < wake.compared;
    case FUTEX_OP_CMP_GE:
      return value >= wake.compared;
    case FUTEX_OP_CMP_LE:
      return value <= wake.compared;
    default:
      return value > wake.compared;
  }
}

long wake_operation(const Call& call) {
  WakeOperation operation{};
  if (!unpack(call.value3, &operation)) return -ENOSYS;
  uint32_t old = apply(operation, call.address2);
  long woken = wake_at(call, call.address, count_of(call.value), FUTEX_BITSET_MATCH_ANY);
  if (woken < 0 || !compare(operation, old)) return woken;
  long second = wake_at(call, call.address2, count_of(call.value2()), FUTEX_BITSET_MATCH_ANY);
  return second < 0 ? second : woken + second;
}

}  // namespace

long futex_call(const uint32_t* address, int operation, uint32_t value, const timespec* timeout_or_value2,
                uint32_t* address2, uint32_t value3) {
  Call call{address, operation, value, timeout_or_value2, address2, value3};
  bool kernels = threads_are_native() || !may_be_word(address);
  // Who is to be woken may be in the lot all the same. (A futex that others share has no waiters there.)
  if (!kernels && sleeps_in_kernel(call)) {
    kernels = in_signal_handler() || (call.privacy() == 0 && !is_private_memory(address));
  }
  if (kernels) return pass_on(call);
  switch (call.command()) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
      return wait(call);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
      return wake(call);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return requeue(call);
    case FUTEX_WAKE_OP:
      return wake_operation(call);
    default:
      return pass_on(call);
  }
}

}  // namespace coshim
