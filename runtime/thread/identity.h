// What a thread of Linux has of its own besides what glibc keeps: name, CPU affinity, scheduling policy, nice
// value (DESIGN §9). Kept per coroutine and given back as set; workers are not changed by it.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

constexpr size_t kNameSize = 16;  // TASK_COMM_LEN, prctl(2)

// A set of CPUs as the kernel gives it.
struct Affinity {
  static constexpr size_t kWords = 128;  // CONFIG_NR_CPUS of 8192 at most
  size_t bytes = 0;                      // 0: not set
  unsigned long words[kWords];
};

// clone(2): a new thread has its creator's. `created` is not running yet.
void inherit_identity(Coroutine* created, bool own_policy);

// All in the kernel's convention: 0, a value or -errno. A null coroutine is the calling kernel thread.
void get_name(const Coroutine* coroutine, char* name);  // kNameSize bytes
void set_name(Coroutine* coroutine, const char* name);  // cut to kNameSize - 1
long set_affinity(Coroutine* coroutine, size_t bytes, const void* mask);
long get_affinity(const Coroutine* coroutine, size_t bytes, void* mask);  // bytes written
// A real-time policy binds the coroutine to its kernel thread, which then has it: at once for the calling
// one, at its next wait for another.
long set_scheduler(Coroutine* coroutine, int policy, int priority);
void apply_policy(Coroutine* self);
void end_policy(Coroutine* self);  // it ends: its kernel thread becomes an ordinary one again
inline bool is_real_time(int policy) {
  return policy == SCHED_FIFO || policy == SCHED_RR;
}
// For hidden threads, which are never real-time ones, whoever makes them.
void use_ordinary_policy(pthread_attr_t* attributes);
long set_nice(Coroutine* coroutine, int value);
int get_nice(const Coroutine* coroutine);

}  // namespace coshim
