#include "runtime/sched/call_counters.h"

#include <fcntl.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/log.h"
#include "runtime/base/system_call.h"

namespace coshim {

CallCounter g_call_counters[kCallCounters];

namespace {

constexpr char kOther[] = "other";

// From <asm/unistd_64.h>, by runtime/CMakeLists.txt.
struct SystemCallName {
  long number;
  const char* name;
};
constexpr SystemCallName kSystemCalls[] = {
#include "system_call_names.inc"
};

size_t place_of(const char* name) {
  return static_cast<size_t>((reinterpret_cast<uintptr_t>(name) * 0x9E3779B97F4A7C15U) >> 32) % kCallCounters;
}

// Of " 0x7f12"; gives what follows.
const char* read_hexadecimal(const char* p, uintptr_t* value) {
  while (*p == ' ') ++p;
  if (p[0] == '0' && p[1] == 'x') p += 2;
  for (;; ++p) {
    if (*p >= '0' && *p <= '9') {
      *value = *value * 16 + static_cast<uintptr_t>(*p - '0');
    } else if (*p >= 'a' && *p <= 'f') {
      *value = *value * 16 + static_cast<uintptr_t>(*p - 'a' + 10);
    } else {
      return p;
    }
  }
}

}  // namespace

CallCounter* call_counter(const char* name, BlockedCallKind kind) {
  size_t start = place_of(name);
  for (size_t i = 0; i < kCallCounters; ++i) {
    CallCounter& counter = g_call_counters[(start + i) % kCallCounters];
    const char* there = counter.name.load(std::memory_order_acquire);
    if (there == name) return &counter;
    if (there != nullptr) continue;
    if (counter.name.compare_exchange_strong(there, name, std::memory_order_acq_rel)) {
      counter.kind = kind;
      return &counter;
    }
    if (there == name) return &counter;
  }
  static CallCounter other;
  other.name.store(kOther, std::memory_order_relaxed);
  return &other;
}

void count_call(CallCounter* counter, uint64_t ticks) {
  counter->ticks.fetch_add(ticks, std::memory_order_relaxed);
  if (ticks >= kBlockedMicroseconds * g_ticks_per_microsecond)
    counter->blocked.fetch_add(1, std::memory_order_relaxed);
}

// proc(5), /proc/PID/syscall: the number, six arguments, stack pointer and program counter, in hexadecimal
// but for the number; "running"; or "-1 SP PC" for one that is blocked outside of a call (a page fault).
KernelPosition kernel_position(pid_t tid) {
  KernelPosition position;
  char path[64], text[256] = {};
  format_text(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
  long fd = sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return position;
  long length = sys::call(SYS_read, fd, text, sizeof(text) - 1);
  sys::close(static_cast<int>(fd));
  position.runnable = text[0] == 'r';
  if (length <= 0 || text[0] < '0' || text[0] > '9') return position;
  const char* p = text;
  long number = 0;
  for (; *p >= '0' && *p <= '9'; ++p) number = number * 10 + (*p - '0');
  uintptr_t words[8] = {};
  for (uintptr_t& word : words) p = read_hexadecimal(p, &word);
  position.stack_pointer = words[6];
  position.address = words[7];
  position.call = "unknown system call";
  for (const SystemCallName& known : kSystemCalls) {
    if (known.number == number) position.call = known.name;
  }
  return position;
}

}  // namespace coshim
