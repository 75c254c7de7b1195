#include "preload/scheduling_calls.h"

#include <string.h>
#include <sys/resource.h>

#include "preload/hook.h"
#include "preload/user_memory.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

// sched_setattr(2); <linux/sched/types.h> does not go together with libc's <sched.h>.
struct Attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
constexpr size_t kFirstSize = 48;  // SCHED_ATTR_SIZE_VER0
static_assert(sizeof(Attributes) == kFirstSize);
constexpr uint64_t kResetOnFork = 1, kKeepPolicy = 8, kKeepParameters = 16;

constexpr int kOneThread = 1;  // IOPRIO_WHO_PROCESS, ioprio_set(2)

Coroutine* owner_of(long tid) {
  return tid == 0 ? t_local.coroutine : coroutine_by_tid(static_cast<int>(tid));
}

// What is not kept for coroutines is as the kernel thread has it.
long get_attributes(const Coroutine* target, Attributes* given, size_t size) {
  if (given == nullptr || size < kFirstSize) return -EINVAL;
  long result = sys::call(SYS_sched_getattr, 0, given, size, 0);
  if (result != 0) return result;
  const int policy = target->schedule_policy & ~SCHED_RESET_ON_FORK;
  given->policy = static_cast<uint32_t>(policy);
  given->flags &= ~kResetOnFork;
  if ((target->schedule_policy & SCHED_RESET_ON_FORK) != 0) given->flags |= kResetOnFork;
  given->priority = is_real_time(policy) ? static_cast<uint32_t>(target->schedule_priority) : 0;
  given->nice = is_real_time(policy) ? 0 : get_nice(target);
  return 0;
}

long set_attributes(Coroutine* target, const Attributes* given, long flags) {
  if (given == nullptr || flags != 0) return -EINVAL;
  if (!readable(given)) return -EFAULT;
  int policy = (given->flags & kKeepPolicy) != 0 ? target->schedule_policy & ~SCHED_RESET_ON_FORK
                                                 : static_cast<int>(given->policy);
  const bool keep = (given->flags & kKeepParameters) != 0;
  int priority = keep ? target->schedule_priority : static_cast<int>(given->priority);
  if ((given->flags & kResetOnFork) != 0) policy |= SCHED_RESET_ON_FORK;
  if (policy != target->schedule_policy || priority != target->schedule_priority) {
    long result = set_scheduler(target, policy, priority);
    if (result != 0) return result;
  }
  if (keep || is_real_time(policy & ~SCHED_RESET_ON_FORK) || given->nice == get_nice(target)) return 0;
  return set_nice(target, given->nice);
}

// The kernel knows what is allowed: tried on this kernel thread, and taken back.
long set_io_priority(Coroutine* target, long value) {
  long before = sys::call(SYS_ioprio_get, kOneThread, 0);
  long result = sys::call(SYS_ioprio_set, kOneThread, 0, value);
  if (result != 0) return result;
  if (before >= 0) sys::call(SYS_ioprio_set, kOneThread, 0, before);
  target->io_priority = static_cast<int>(value);
  return 0;
}

long call_for(Coroutine* target, long number, long b, long c) {
  switch (number) {
    case SYS_sched_getattr:
      return get_attributes(target, reinterpret_cast<Attributes*>(b), static_cast<size_t>(c));
    case SYS_sched_setattr:
      return set_attributes(target, reinterpret_cast<const Attributes*>(b), c);
    case SYS_sched_setscheduler:
      return set_priority_parameter(target, b, reinterpret_cast<const sched_param*>(c));
    case SYS_sched_getscheduler:
      return target->schedule_policy;
    case SYS_sched_setparam:
      return set_priority_parameter(target, target->schedule_policy, reinterpret_cast<const sched_param*>(b));
    case SYS_sched_getparam:
      return get_priority_parameter(target, reinterpret_cast<sched_param*>(b));
    case SYS_sched_setaffinity:
      return set_affinity(target, static_cast<size_t>(b), reinterpret_cast<const void*>(c));
    case SYS_sched_getaffinity:
      return get_affinity(target, static_cast<size_t>(b), reinterpret_cast<void*>(c));
    case SYS_getpriority:
      return 20 - get_nice(target);  // getpriority(2), "C library/kernel differences"
    case SYS_setpriority:
      return set_nice(target, static_cast<int>(c));
    case SYS_ioprio_get:
      return target->io_priority >= 0 ? target->io_priority : sys::call(SYS_ioprio_get, kOneThread, 0);
    default:
      return set_io_priority(target, c);
  }
}

}  // namespace

long set_priority_parameter(Coroutine* target, long policy, const sched_param* parameters) {
  if (parameters == nullptr || policy < 0) return -EINVAL;
  if (!readable(parameters)) return -EFAULT;
  return set_scheduler(target, static_cast<int>(policy), parameters->sched_priority);
}

long get_priority_parameter(const Coroutine* target, sched_param* parameters) {
  if (parameters == nullptr) return -EINVAL;
  if (!writable(parameters)) return -EFAULT;
  parameters->sched_priority = target->schedule_priority;
  return 0;
}

long scheduling_call(long number, long a, long b, long c) {
  if (number == SYS_sched_setaffinity && a == 0)  // also of a kernel thread, whose threads inherit it
    return set_affinity(t_local.coroutine, static_cast<size_t>(b), reinterpret_cast<const void*>(c));
  Coroutine* target = nullptr;
  switch (number) {
    case SYS_sched_getattr:
    case SYS_sched_setattr:
    case SYS_sched_setscheduler:
    case SYS_sched_getscheduler:
    case SYS_sched_setparam:
    case SYS_sched_getparam:
    case SYS_sched_setaffinity:
    case SYS_sched_getaffinity:
      target = owner_of(a);
      break;
    case SYS_getpriority:
    case SYS_setpriority:
      if (a == PRIO_PROCESS) target = owner_of(b);
      break;
    case SYS_ioprio_get:
    case SYS_ioprio_set:
      if (a == kOneThread) target = owner_of(b);
      break;
    default:
      break;
  }
  return target != nullptr ? call_for(target, number, b, c) : kNotAboutCoroutines;
}

}  // namespace coshim
