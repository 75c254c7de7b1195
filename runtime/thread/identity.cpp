#include "runtime/thread/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <new>

#include "runtime/base/permanent.h"
#include "runtime/config.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

// A kernel thread of the program has set its affinity: new threads of its may not have the workers'.
std::atomic<bool> g_kernel_affinity_set{false};

// A record's memory stays with its coroutine record, for its next life.
Affinity* affinity_record(Coroutine* coroutine) {
  if (coroutine->affinity != nullptr) return coroutine->affinity;
  CriticalSection critical;
  void* memory = permanent_memory(sizeof(Affinity));
  if (memory != nullptr) coroutine->affinity = new (memory) Affinity;
  return coroutine->affinity;
}

bool has_affinity(const Coroutine* coroutine) {
  return coroutine->affinity != nullptr && coroutine->affinity->bytes != 0;
}

void remember_affinity(Coroutine* coroutine, const unsigned long* words, long bytes) {
  Affinity* record = bytes > 0 ? affinity_record(coroutine) : nullptr;
  if (record == nullptr) return;
  memcpy(record->words, words, static_cast<size_t>(bytes));
  record->bytes = static_cast<size_t>(bytes);
}

void main_name(char* name) {
  memset(name, 0, kNameSize);
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  long length = sys::call(SYS_read, static_cast<int>(fd), name, kNameSize);
  sys::close(static_cast<int>(fd));
  if (length > 0) name[length - 1] = '\0';  // the newline
}

void keep_inherited_name(Coroutine* coroutine, void* name) {
  if (coroutine->named) return;
  memcpy(coroutine->name, name, kNameSize);
  coroutine->named = true;
}

// The kernel knows which policies, priorities and masks are allowed: tried on this kernel thread, and taken
// back.
long try_scheduler(int policy, int priority) {
  sched_param before{};
  long old_policy = sys::call(SYS_sched_getscheduler, 0);
  sys::call(SYS_sched_getparam, 0, &before);
  sched_param wanted{};
  wanted.sched_priority = priority;
  long result = sys::call(SYS_sched_setscheduler, 0, policy, &wanted);
  if (result == 0) sys::call(SYS_sched_setscheduler, 0, old_policy, &before);
  return result;
}

}  // namespace

void inherit_identity(Coroutine* created, bool own_policy) {
  const Coroutine* creator = t_local.coroutine;
  created->named = false;
  created->name[0] = '\0';
  created->nice_set = false;
  created->io_priority = -1;
  created->bound.store(false, std::memory_order_relaxed);
  created->bound_by_name = created->keeps_thread = created->policy_in_force = false;
  if (created->affinity != nullptr) created->affinity->bytes = 0;
  if (creator == nullptr) {
    if (g_kernel_affinity_set.load(std::memory_order_relaxed)) {
      unsigned long words[Affinity::kWords];
      remember_affinity(created, words, sys::call(SYS_sched_getaffinity, 0, sizeof(words), words));
    }
    return;
  }
  if (!own_policy) {
    created->schedule_policy = creator->schedule_policy;
    created->schedule_priority = creator->schedule_priority;
  }
  if (creator->named) {
    memcpy(created->name, creator->name, kNameSize);
    created->named = true;
  }
  if (has_affinity(creator))
    remember_affinity(created, creator->affinity->words, static_cast<long>(creator->affinity->bytes));
  created->nice = creator->nice;
  created->nice_set = creator->nice_set;
  created->io_priority = creator->io_priority;
}

void get_name(const Coroutine* coroutine, char* name) {
  if (coroutine == nullptr) {
    sys::call(SYS_prctl, PR_GET_NAME, name);
  } else if (coroutine->named) {
    memcpy(name, coroutine->name, kNameSize);
  } else {
    main_name(name);
  }
}

void set_name(Coroutine* coroutine, const char* name) {
  if (coroutine != nullptr) {
    char copy[kNameSize] = {};
    for (size_t i = 0; i + 1 < kNameSize && name[i] != '\0'; ++i) copy[i] = name[i];
    memcpy(coroutine->name, copy, kNameSize);
    coroutine->named = true;
    coroutine->bound_by_name = matches_any(g_config.native_patterns, copy);
    if (coroutine->bound_by_name) coroutine->bound.store(true, std::memory_order_relaxed);
    return;
  }
  // Threads that main has made keep the name that it had.
  if (runtime_started() && sys::gettid() == sys::getpid()) {
    char before[kNameSize];
    main_name(before);
    for_each_coroutine(&keep_inherited_name, before);
  }
  sys::call(SYS_prctl, PR_SET_NAME, name);
}

long set_affinity(Coroutine* coroutine, size_t bytes, const void* mask) {
  if (coroutine == nullptr) {
    long result = sys::call(SYS_sched_setaffinity, 0, bytes, mask);
    if (result == 0) g_kernel_affinity_set.store(true, std::memory_order_relaxed);
    return result;
  }
  unsigned long before[Affinity::kWords], after[Affinity::kWords];
  long old_bytes = sys::call(SYS_sched_getaffinity, 0, sizeof(before), before);
  long result = sys::call(SYS_sched_setaffinity, 0, bytes, mask);
  if (result != 0) return result;
  long new_bytes = sys::call(SYS_sched_getaffinity, 0, sizeof(after), after);
  if (old_bytes > 0) sys::call(SYS_sched_setaffinity, 0, old_bytes, before);
  remember_affinity(coroutine, after, new_bytes);
  return 0;
}

void keep_affinity(Coroutine* coroutine, const unsigned long* words, size_t bytes) {
  remember_affinity(coroutine, words, static_cast<long>(bytes));
}

long get_affinity(const Coroutine* coroutine, size_t bytes, void* mask) {
  if (coroutine == nullptr || !has_affinity(coroutine))
    return sys::call(SYS_sched_getaffinity, 0, bytes, mask);
  size_t known = coroutine->affinity->bytes;
  if (bytes < known || bytes % sizeof(long) != 0) return -EINVAL;
  memcpy(mask, coroutine->affinity->words, known);
  return static_cast<long>(known);
}

long set_scheduler(Coroutine* coroutine, int policy, int priority) {
  long result = try_scheduler(policy, priority);
  if (result != 0) return result;
  coroutine->schedule_policy = policy;
  coroutine->schedule_priority = priority;
  bool real_time = is_real_time(policy & ~SCHED_RESET_ON_FORK);
  if (real_time) coroutine->bound.store(true, std::memory_order_relaxed);
  if (coroutine != t_local.coroutine) return 0;
  end_policy(coroutine);
  if (real_time) {
    apply_policy(coroutine);
  } else {
    coroutine->bound.store(coroutine->bound_by_name || coroutine->keeps_thread, std::memory_order_relaxed);
  }
  return 0;
}

void apply_policy(Coroutine* self) {
  if (self->policy_in_force || !is_real_time(self->schedule_policy & ~SCHED_RESET_ON_FORK)) return;
  sched_param wanted{};
  wanted.sched_priority = self->schedule_priority;
  self->policy_in_force = sys::call(SYS_sched_setscheduler, 0, self->schedule_policy, &wanted) == 0;
}

void end_policy(Coroutine* self) {
  if (!self->policy_in_force) return;
  self->policy_in_force = false;
  sched_param ordinary{};
  sys::call(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
}

void use_ordinary_policy(pthread_attr_t* attributes) {
  if (!is_real_time(static_cast<int>(sys::call(SYS_sched_getscheduler, 0)) & ~SCHED_RESET_ON_FORK)) return;
  pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(attributes, SCHED_OTHER);
  sched_param ordinary{};
  pthread_attr_setschedparam(attributes, &ordinary);
}

int get_nice(const Coroutine* coroutine) {
  if (coroutine != nullptr && coroutine->nice_set) return coroutine->nice;
  // Unchanged, it is that of main, which made it or made its makers.
  return 20 - static_cast<int>(sys::call(SYS_getpriority, PRIO_PROCESS, sys::getpid()));
}

long set_nice(Coroutine* coroutine, int value) {
  if (value < -20) value = -20;
  if (value > 19) value = 19;
  int worker = 20 - static_cast<int>(sys::call(SYS_getpriority, PRIO_PROCESS, 0));
  if (value < get_nice(coroutine) && value < worker) {  // may need privilege
    long result = sys::call(SYS_setpriority, PRIO_PROCESS, 0, value);
    if (result != 0) return result;
    sys::call(SYS_setpriority, PRIO_PROCESS, 0, worker);
  }
  coroutine->nice = value;
  coroutine->nice_set = true;
  return 0;
}

}  // namespace coshim
