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
void inherit_identity(Coroutine* created);

// All in the kernel's convention: 0, a value or -errno. A null coroutine is the calling kernel thread.
void get_name(const Coroutine* coroutine, char* name);  // kNameSize bytes
void set_name(Coroutine* coroutine, const char* name);  // cut to kNameSize - 1
long set_affinity(Coroutine* coroutine, size_t bytes, const void* mask);
long get_affinity(const Coroutine* coroutine, size_t bytes, void* mask);  // bytes written
long set_scheduler(Coroutine* coroutine, int policy, int priority);
long set_nice(Coroutine* coroutine, int value);
int get_nice(const Coroutine* coroutine);

}  // namespace coshim
