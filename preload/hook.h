// How a hook is declared, defined and exported. hooks.def has one row a hook; this header makes of each row
//   real::NAME       a pointer to the function that the program would have got without us, resolved at first
//   call HOOK(NAME)       the head of the hook's definition, exported under NAME without a version: with a
//   named version
//                    node a program's `pthread_create@GLIBC_2.34` would not be caught (DESIGN §2)
// and CMake makes the export map and docs/hooks.md.
//
// The C++ name of a hook is hook_NAME, the assembler name is coshim_NAME: so libc's headers, with their
// attributes and exception specifications, do not stand in the way. What is exported under NAME is one jump,
// through a pointer that leads to the hook (with elastic stacks: by way of preload/reach.h).
#pragma once

#include <aio.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mqueue.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <resolv.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <ucontext.h>
#include <utime.h>

#include "runtime/thread/signals.h"
#include "runtime/thread/thread.h"

namespace coshim {

// The next definition of `name` after ours; with `version`, that version (dlvsym), for the symbols that have
// several. Never null: a name that this libc lacks gives a function that sets ENOSYS and returns -1.
void* resolve_real(const char* name, const char* version);
// All at once, with the first thread: from then on a hook may be called where dlsym() may not (signal
// handlers).
void resolve_all();

namespace real {

// What a real:: pointer holds until its first call: resolves, replaces itself, goes on.
template <typename Row, typename Function>
struct LazyCall;
template <typename Row, typename Result, typename... Args>
struct LazyCall<Row, Result (*)(Args...)> {
  static Result call(Args... args) {
    Row::slot() = reinterpret_cast<Result (*)(Args...)>(resolve_real(Row::kName, Row::kVersion));
    return Row::slot()(args...);
  }
};
// Variadic ones cannot be passed on: their hooks go on with the `v` function.
template <typename Row, typename Result, typename... Args>
struct LazyCall<Row, Result (*)(Args..., ...)> {
  static Result call(Args..., ...) { __builtin_trap(); }
};

#define COSHIM_HOOK(group, result, name, parameters, version, how) \
  extern result(*name) parameters;                                 \
  struct row_##name {                                              \
    static constexpr const char* kName = #name;                    \
    static constexpr const char* kVersion = version;               \
    static auto& slot() { return name; }                           \
    static result(*hook()) parameters;                             \
  };
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN

}  // namespace real

// The hooks themselves, for calls from one to another inside preload/.
#define COSHIM_HOOK(group, result, name, parameters, version, how)                                         \
  extern "C" __attribute__((visibility("hidden"))) result hook_##name parameters __asm__("coshim_" #name); \
  extern "C" __attribute__((visibility("hidden"))) result(*coshim_entry_##name) parameters;
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN

// A function that is one jump.
#define COSHIM_JUMP(label, target)                                                                \
  __asm__(".pushsection .text\n.p2align 4\n.globl " label "\n.type " label ", @function\n" label  \
          ":\n.cfi_startproc\nendbr64\njmp " target "\n.cfi_endproc\n.size " label ", . - " label \
          "\n.popsection\n");

#define HOOK(result, name, parameters) extern "C" result hook_##name parameters

// libc's convention: -errno from the kernel becomes -1 and errno.
template <typename Result = long>
inline Result return_errno(long result) {
  if (__builtin_expect(result < 0 && result >= -4095, 0)) {
    if (result == -EPIPE || result == -EFBIG) keep_write_signal(static_cast<int>(-result));
    errno = static_cast<int>(-result);
    return static_cast<Result>(-1);
  }
  return static_cast<Result>(result);
}
// The same care for the result of libc's own call.
template <typename Result>
inline Result after_write(Result result) {
  if (__builtin_expect(result == -1, 0) && (errno == EPIPE || errno == EFBIG)) keep_write_signal(errno);
  return result;
}
// The other way: a libc-style result as the kernel's.
inline long errno_result(long result) {
  return result == -1 ? -static_cast<long>(errno) : result;
}

}  // namespace coshim
