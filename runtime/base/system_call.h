// Raw Linux system calls. The runtime uses these and nothing else to reach the kernel: a call through libc by
// name would land in our own hooks (DESIGN §2). Results are the kernel's: a value, or -errno. errno is never
// touched. Async-signal-safe and thread-safe throughout.
#pragma once

#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

namespace coshim::sys {

#if defined(__x86_64__)
inline long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#else
#error "coshim: only x86-64 is supported so far"
#endif

template <typename T>
inline long word(T value) {
  if constexpr (sizeof(T) == sizeof(long) || __is_enum(T)) {
    return (long)value;
  } else {
    return static_cast<long>(value);
  }
}
inline long word(decltype(nullptr)) {
  return 0;
}

template <typename... Args>
inline long call(long number, Args... args) {
  return raw(number, word(args)...);
}

inline pid_t gettid() {
  return static_cast<pid_t>(call(SYS_gettid));
}
inline pid_t getpid() {
  return static_cast<pid_t>(call(SYS_getpid));
}

// `timeout` is absolute on CLOCK_MONOTONIC, or null for ever (FUTEX_WAIT_BITSET, futex(2)).
inline long futex_wait(const void* address, uint32_t expected, const timespec* timeout) {
  return call(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout, nullptr,
              FUTEX_BITSET_MATCH_ANY);
}
inline long futex_wake(const void* address, int count) {
  return call(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
}

// The kernel's signal set: one bit a signal, bit 0 is signal 1.
using KernelSignalSet = uint64_t;
constexpr KernelSignalSet signal_bit(int signal) {
  return KernelSignalSet{1} << (signal - 1);
}
// Everything that may be blocked. 32 and 33 are glibc's own (SIGCANCEL, SIGSETXID): setuid() waits until
// every kernel thread has answered the latter, so it must reach sleeping workers too.
constexpr KernelSignalSet kAllSignals = ~((KernelSignalSet{1} << 31) | (KernelSignalSet{1} << 32));
// Signals that no thread may block in the kernel, whatever its program's mask says: SIGSEGV where a touch of
// a saved stack has to bring it back (runtime/stack/elastic.h; the kernel kills for a fault that is blocked).
inline KernelSignalSet g_never_blocked = 0;
inline long set_signal_mask(int how, const KernelSignalSet* set, KernelSignalSet* old) {
  KernelSignalSet filtered = 0;
  if (set != nullptr && how != SIG_UNBLOCK) {
    filtered = *set & ~g_never_blocked;
    set = &filtered;
  }
  return call(SYS_rt_sigprocmask, how, set, old, sizeof(KernelSignalSet));
}

inline long write(int fd, const void* data, size_t length) {
  return call(SYS_write, fd, data, length);
}
inline long close(int fd) {
  return call(SYS_close, fd);
}
inline void yield() {
  call(SYS_sched_yield);
}

}  // namespace coshim::sys
