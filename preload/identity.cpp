// Who a thread is: names, affinity, scheduling, attributes; and cancellation, which glibc does once it has
// been told whom.
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "preload/hook.h"
#include "preload/native_choice.h"
#include "preload/own_thread.h"
#include "preload/scheduling_calls.h"
#include "preload/user_memory.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

// Linux's per-thread calls take a tid; 0 is the caller. Null: a kernel thread, for the real call.
Coroutine* thread_of(pid_t tid) {
  return tid == 0 ? t_local.coroutine : coroutine_by_tid(tid);
}

int error_number(long result) {
  return static_cast<int>(-result);
}

int highest_priority(int policy) {
  return static_cast<int>(sys::call(SYS_sched_get_priority_max, policy));
}

// glibc asks for more than the kernel has and clears the rest.
long affinity_for_libc(const Coroutine* coroutine, size_t size, void* set) {
  long bytes = get_affinity(coroutine, size, set);
  if (bytes < 0) return bytes;
  memset(static_cast<char*>(set) + bytes, 0, size - static_cast<size_t>(bytes));
  return 0;
}

// As much as a name has room for, or up to its end. False: EFAULT.
bool copy_name(char* name, const char* given) {
  constexpr uintptr_t kPage = 4096;
  size_t i = 0;
  for (; i < kNameSize - 1; ++i) {
    bool new_page = i == 0 || reinterpret_cast<uintptr_t>(given + i) % kPage == 0;
    if (new_page && !readable(given + i)) return false;
    if (given[i] == '\0') break;
    name[i] = given[i];
  }
  name[i] = '\0';
  return true;
}

int fill_attributes(Coroutine* target, pthread_attr_t* attributes) {
  pthread_attr_setstack(attributes, target->stack_low, target->stack_size);
  pthread_attr_setguardsize(attributes, target->guard_size);
  pthread_attr_setdetachstate(attributes,
                              coroutine_detached(target) ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
  sched_param parameters{};
  parameters.sched_priority = target->schedule_priority;
  pthread_attr_setinheritsched(attributes,
                               target->own_policy ? PTHREAD_EXPLICIT_SCHED : PTHREAD_INHERIT_SCHED);
  pthread_attr_setschedpolicy(attributes, target->schedule_policy);
  pthread_attr_setschedparam(attributes, &parameters);
  unsigned long set[Affinity::kWords];
  if (affinity_for_libc(target, sizeof(set), set) != 0) return 0;
  return pthread_attr_setaffinity_np(attributes, sizeof(set), reinterpret_cast<cpu_set_t*>(set));
}

}  // namespace

HOOK(int, pthread_setname_np, (pthread_t thread, const char* name)) {
  if (strlen(name) >= kNameSize) return ERANGE;
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr && pthread_equal(thread, pthread_self()) == 0)
    return real::pthread_setname_np(thread, name);
  set_name(target, name);
  return 0;
}

HOOK(int, pthread_getname_np, (pthread_t thread, char* buffer, size_t size)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_getname_np(thread, buffer, size);
  if (size < kNameSize) return ERANGE;
  get_name(target, buffer);
  return 0;
}

HOOK(int, prctl, (int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)) {
  if (option == PR_SET_SECCOMP && runtime_started()) entering_seccomp();
  if (option == PR_SET_NAME) {
    char name[kNameSize];
    if (!copy_name(name, reinterpret_cast<const char*>(a))) return return_errno<int>(-EFAULT);
    set_name(t_local.coroutine, name);
    return 0;
  }
  if (option == PR_GET_NAME && t_local.coroutine != nullptr) {
    if (!writable(reinterpret_cast<void*>(a), kNameSize)) return return_errno<int>(-EFAULT);
    get_name(t_local.coroutine, reinterpret_cast<char*>(a));
    return 0;
  }
  if (!prctl_changes_thread_alone(option)) return real::prctl(option, a, b, c, d);
  return change_alone([&] { return real::prctl(option, a, b, c, d); });
}

HOOK(int, pthread_getattr_np, (pthread_t thread, pthread_attr_t* attributes)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_getattr_np(thread, attributes);
  int error = pthread_attr_init(attributes);
  if (error == 0) error = fill_attributes(target, attributes);
  return error;
}

HOOK(int, pthread_setaffinity_np, (pthread_t thread, size_t size, const cpu_set_t* set)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr && pthread_equal(thread, pthread_self()) == 0)
    return real::pthread_setaffinity_np(thread, size, set);
  return error_number(set_affinity(target, size, set));
}

HOOK(int, pthread_getaffinity_np, (pthread_t thread, size_t size, cpu_set_t* set)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_getaffinity_np(thread, size, set);
  return error_number(affinity_for_libc(target, size, set));
}

HOOK(int, sched_setaffinity, (pid_t tid, size_t size, const cpu_set_t* set)) {
  Coroutine* target = thread_of(tid);
  if (target == nullptr && tid != 0) return real::sched_setaffinity(tid, size, set);
  return return_errno<int>(set_affinity(target, size, set));
}

HOOK(int, sched_getaffinity, (pid_t tid, size_t size, cpu_set_t* set)) {
  Coroutine* target = thread_of(tid);
  if (target == nullptr) return real::sched_getaffinity(tid, size, set);
  return return_errno<int>(affinity_for_libc(target, size, set));
}

HOOK(int, sched_setscheduler, (pid_t tid, int policy, const sched_param* parameters)) {
  Coroutine* target = thread_of(tid);
  if (target == nullptr) {
    policy_changed_on_kernel_thread();
    return real::sched_setscheduler(tid, policy, parameters);
  }
  return return_errno<int>(set_priority_parameter(target, policy, parameters));
}

HOOK(int, sched_getscheduler, (pid_t tid)) {
  Coroutine* target = thread_of(tid);
  return target != nullptr ? target->schedule_policy : real::sched_getscheduler(tid);
}

HOOK(int, sched_setparam, (pid_t tid, const sched_param* parameters)) {
  Coroutine* target = thread_of(tid);
  if (target == nullptr) return real::sched_setparam(tid, parameters);
  return return_errno<int>(set_priority_parameter(target, target->schedule_policy, parameters));
}

HOOK(int, sched_getparam, (pid_t tid, sched_param* parameters)) {
  Coroutine* target = thread_of(tid);
  if (target == nullptr) return real::sched_getparam(tid, parameters);
  return return_errno<int>(get_priority_parameter(target, parameters));
}

HOOK(int, pthread_setschedparam, (pthread_t thread, int policy, const sched_param* parameters)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) {
    policy_changed_on_kernel_thread();
    return real::pthread_setschedparam(thread, policy, parameters);
  }
  return error_number(set_scheduler(target, policy, parameters->sched_priority));
}

HOOK(int, pthread_getschedparam, (pthread_t thread, int* policy, sched_param* parameters)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_getschedparam(thread, policy, parameters);
  *policy = target->schedule_policy;
  parameters->sched_priority = target->schedule_priority;
  return 0;
}

HOOK(int, pthread_setschedprio, (pthread_t thread, int priority)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) return real::pthread_setschedprio(thread, priority);
  if (priority > highest_priority(target->schedule_policy)) return EINVAL;
  return error_number(set_scheduler(target, target->schedule_policy, priority));
}

// On Linux, the nice value is a thread's own (setpriority(2), "C library/kernel differences").
HOOK(int, getpriority, (__priority_which_t which, id_t who)) {
  Coroutine* target = which == PRIO_PROCESS ? thread_of(static_cast<pid_t>(who)) : nullptr;
  return target != nullptr ? get_nice(target) : real::getpriority(which, who);
}

HOOK(int, setpriority, (__priority_which_t which, id_t who, int value)) {
  Coroutine* target = which == PRIO_PROCESS ? thread_of(static_cast<pid_t>(who)) : nullptr;
  return target != nullptr ? return_errno<int>(set_nice(target, value))
                           : real::setpriority(which, who, value);
}

HOOK(int, nice, (int increment)) {
  Coroutine* self = t_local.coroutine;
  if (self == nullptr) return real::nice(increment);
  long wanted = static_cast<long>(get_nice(self)) + increment;
  long result = set_nice(self, static_cast<int>(wanted < -20 ? -20 : wanted > 19 ? 19 : wanted));
  if (result != 0) return return_errno<int>(result == -EACCES ? -EPERM : result);
  return get_nice(self);
}

// CANCELSTATE_BITMASK of glibc's cancelhandling word.
constexpr int kCancelDisabled = 1;

// glibc marks the target. Then: a target that waits is woken; one whose cancellation is asynchronous, and
// that glibc could not signal by its tid, gets the signal on the kernel thread that runs it.
HOOK(int, pthread_cancel, (pthread_t thread)) {
  if (!runtime_started()) return real::pthread_cancel(thread);
  Coroutine* target = coroutine_of(thread);
  Thread* record = tcb_thread_local(thread)->thread;
  if (target != nullptr && coroutine_ended(target)) return 0;
  int error = real::pthread_cancel(thread);
  guard_cancel_signal();
  // With cancellation disabled no wait is to end early; glibc's books keep the request.
  if (record != nullptr && (tcb_cancel_state(thread) & kCancelDisabled) == 0) {
    record->interrupts.fetch_or(kInterruptCancel, std::memory_order_acq_rel);
    unpark(record);
  }
  if (target == nullptr) return error;
  if (error == ESRCH) {
    send_cancel_signal(target);
    error = 0;
  }
  return error;
}

}  // namespace coshim
