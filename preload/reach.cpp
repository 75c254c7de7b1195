// Which hooks bring saved stacks back for the kernel, and calls that are hooked for nothing else.
#include "preload/reach.h"

#include "runtime/stack/pager.h"
#include "runtime/stack/slot.h"

namespace coshim {

namespace {

// What the program gave may be no address at all: then the kernel is to say EFAULT, not we to crash. The
// caller's own stack above us is surely there.
bool copy_in(void* to, const void* from, size_t size) {
  char here;
  auto address = reinterpret_cast<uintptr_t>(from), stack = reinterpret_cast<uintptr_t>(&here);
  constexpr uintptr_t kNear = 4096;
  if (address > stack && address - stack < kNear && t_local.coroutine != nullptr &&
      find_slot(from) == t_local.coroutine->slot) {
    memcpy(to, from, size);
    return true;
  }
  iovec local{to, size}, remote{const_cast<void*>(from), size};
  return sys::call(SYS_process_vm_readv, sys::getpid(), &local, 1, &remote, 1, 0) == static_cast<long>(size);
}

}  // namespace

void Reach::add_array(const iovec* vector, size_t count) {
  constexpr size_t kMostPieces = 1024;  // UIO_MAXIOV: beyond, the kernel says EINVAL
  for (size_t i = 0; i < count && i < kMostPieces; ++i) {
    iovec piece{};
    if (!copy_in(&piece, &vector[i], sizeof(piece))) return;
    add(piece.iov_base);
  }
}

void Reach::add_array(mmsghdr* messages, size_t count) {
  for (size_t i = 0; i < count && i < 1024; ++i) add_struct(&messages[i].msg_hdr);
}

void Reach::add_struct(const msghdr* given) {
  msghdr message{};
  if (given == nullptr || !copy_in(&message, given, sizeof(message))) return;
  add(message.msg_name);
  add(message.msg_control);
  add(message.msg_iov);
  add_array(message.msg_iov, message.msg_iovlen);
}

namespace {

template <typename Row, typename Function>
struct RealCall;
template <typename Row, typename Result, typename... Args>
struct RealCall<Row, Result (*)(Args...)> {
  static Result call(Args... args) { return Row::slot()(args...); }
};

constexpr bool same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}
// Locks, threads and most clocks are touched by user code alone, which brings back what it touches. A jump
// does not come back; dlopen() looks at who called it.
constexpr bool is_for_the_kernel(const char* group, const char* name) {
  return !same(group, "threads") && !same(group, "sync") && !same(name, "longjmp") &&
         !same(name, "__longjmp_chk") && !same(name, "dlopen") && !same(name, "dlmopen") &&
         !same(name, "clock_gettime");
}

template <typename Row, typename Function>
struct ReachCall {  // variadic ones can't be passed on
  static Function entry() { return Row::hook(); }
};
template <typename Row, typename Result, typename... Args>
struct ReachCall<Row, Result (*)(Args...)> {
  static Result call(Args... args) {
    Reach reach(args...);
    return Row::hook()(args...);
  }
  // What is given no address stays as it is: vfork() must not return into a frame of ours twice.
  static auto entry() {
    if constexpr (((sizeof(Args) == sizeof(uintptr_t)) || ...)) {
      return &call;
    } else {
      return Row::hook();
    }
  }
};

}  // namespace

void reach_start() {
  if (!pager_active()) return;
#define COSHIM_HOOK(group, result, name, parameters, version, how)                    \
  if constexpr (is_for_the_kernel(#group, #name)) {                                   \
    coshim_entry_##name = ReachCall<real::row_##name, result(*) parameters>::entry(); \
  }
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
}

#define COSHIM_REAL(name)                                                                         \
  extern "C" __attribute__((visibility("hidden"))) const decltype(real::name) coshim_real_##name; \
  const decltype(real::name) coshim_real_##name __attribute__((used)) =                           \
      &RealCall<real::row_##name, decltype(real::name)>::call;                                    \
  COSHIM_JUMP("coshim_" #name, "*coshim_real_" #name "(%rip)")

COSHIM_REAL(stat)
COSHIM_REAL(lstat)
COSHIM_REAL(fstat)
COSHIM_REAL(fstatat)
COSHIM_REAL(statx)
COSHIM_REAL(statfs)
COSHIM_REAL(fstatfs)
COSHIM_REAL(statvfs)
COSHIM_REAL(fstatvfs)
COSHIM_REAL(__xstat)
COSHIM_REAL(__lxstat)
COSHIM_REAL(__fxstat)
COSHIM_REAL(__fxstatat)
COSHIM_REAL(access)
COSHIM_REAL(faccessat)
COSHIM_REAL(euidaccess)
COSHIM_REAL(eaccess)
COSHIM_REAL(chdir)
COSHIM_REAL(chroot)
COSHIM_REAL(mkdir)
COSHIM_REAL(mkdirat)
COSHIM_REAL(mknod)
COSHIM_REAL(mknodat)
COSHIM_REAL(mkfifo)
COSHIM_REAL(mkfifoat)
COSHIM_REAL(rmdir)
COSHIM_REAL(unlink)
COSHIM_REAL(unlinkat)
COSHIM_REAL(remove)
COSHIM_REAL(rename)
COSHIM_REAL(renameat)
COSHIM_REAL(renameat2)
COSHIM_REAL(link)
COSHIM_REAL(linkat)
COSHIM_REAL(symlink)
COSHIM_REAL(symlinkat)
COSHIM_REAL(readlink)
COSHIM_REAL(readlinkat)
COSHIM_REAL(__readlink_chk)
COSHIM_REAL(__readlinkat_chk)
COSHIM_REAL(chmod)
COSHIM_REAL(fchmodat)
COSHIM_REAL(chown)
COSHIM_REAL(lchown)
COSHIM_REAL(fchownat)
COSHIM_REAL(truncate)
COSHIM_REAL(utime)
COSHIM_REAL(utimes)
COSHIM_REAL(lutimes)
COSHIM_REAL(futimes)
COSHIM_REAL(futimens)
COSHIM_REAL(utimensat)
COSHIM_REAL(getcwd)
COSHIM_REAL(__getcwd_chk)
COSHIM_REAL(getdents64)
COSHIM_REAL(getxattr)
COSHIM_REAL(lgetxattr)
COSHIM_REAL(fgetxattr)
COSHIM_REAL(setxattr)
COSHIM_REAL(lsetxattr)
COSHIM_REAL(fsetxattr)
COSHIM_REAL(listxattr)
COSHIM_REAL(llistxattr)
COSHIM_REAL(flistxattr)
COSHIM_REAL(getsockname)
COSHIM_REAL(getpeername)
COSHIM_REAL(getsockopt)
COSHIM_REAL(bind)
COSHIM_REAL(uname)
COSHIM_REAL(gethostname)
COSHIM_REAL(__gethostname_chk)
COSHIM_REAL(sysinfo)
COSHIM_REAL(getrlimit)
COSHIM_REAL(setrlimit)
COSHIM_REAL(prlimit)
COSHIM_REAL(times)
COSHIM_REAL(getgroups)
COSHIM_REAL(__getgroups_chk)
COSHIM_REAL(getresuid)
COSHIM_REAL(getresgid)
COSHIM_REAL(sched_rr_get_interval)
COSHIM_REAL(process_vm_readv)
COSHIM_REAL(process_vm_writev)
COSHIM_REAL(getitimer)
COSHIM_REAL(setitimer)
COSHIM_REAL(timer_gettime)
COSHIM_REAL(timer_settime)
COSHIM_REAL(timerfd_gettime)
COSHIM_REAL(timerfd_settime)
COSHIM_REAL(getrandom)
COSHIM_REAL(getentropy)
COSHIM_REAL(mincore)

}  // namespace coshim
