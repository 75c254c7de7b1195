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

void Reach::add_strings(char* const* strings) {
  constexpr size_t kMostStrings = 1 << 16;
  for (size_t i = 0; strings != nullptr && i < kMostStrings; ++i) {
    char* string = nullptr;
    if (!copy_in(&string, &strings[i], sizeof(string)) || string == nullptr) return;
    add(string);
  }
}

Reach::Reach(SystemCall call) {
  auto* second = reinterpret_cast<void*>(call.second);
  auto count = static_cast<size_t>(call.third);
  switch (call.number) {
    case SYS_readv:
    case SYS_writev:
    case SYS_preadv:
    case SYS_pwritev:
    case SYS_preadv2:
    case SYS_pwritev2:
    case SYS_vmsplice:
    case SYS_process_vm_readv:
    case SYS_process_vm_writev:
      add_array(static_cast<const iovec*>(second), count);
      break;
    case SYS_sendmsg:
    case SYS_recvmsg:
      add_struct(static_cast<const msghdr*>(second));
      break;
    case SYS_sendmmsg:
    case SYS_recvmmsg:
      add_array(static_cast<mmsghdr*>(second), count);
      break;
    case SYS_execve:
      add_strings(static_cast<char* const*>(second));
      add_strings(reinterpret_cast<char* const*>(call.third));
      break;
    default:
      break;
  }
}

void Reach::add_in_slots(const void* address) {
  Coroutine* owner = elastic_reach(address);
  if (owner == nullptr) return;
  // The child of a vfork() must not count in its parent's memory: it ends without taking that back.
  if (count_ < kMost && !t_local.vfork_child) {
    owners_[count_++] = owner;
  } else {
    elastic_let_go(owner);
  }
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
// Of the calls that are about threads, these hand on what they are given.
constexpr const char* kTellTheKernel[] = {
    "pthread_sigmask",       "pthread_setaffinity_np", "pthread_getaffinity_np", "pthread_setschedparam",
    "pthread_getschedparam", "pthread_setname_np",     "pthread_getname_np"};
// Locks, threads and most clocks are touched by user code alone, which brings back what it touches. A jump
// does not come back; dlopen() looks at who called it.
constexpr bool is_for_the_kernel(const char* group, const char* name) {
  for (const char* one : kTellTheKernel) {
    if (same(one, name)) return true;
  }
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
COSHIM_REAL(epoll_ctl)
COSHIM_REAL(pread)
COSHIM_REAL(__pread_chk)
COSHIM_REAL(preadv)
COSHIM_REAL(removexattr)
COSHIM_REAL(lremovexattr)
COSHIM_REAL(fremovexattr)
COSHIM_REAL(inotify_add_watch)
COSHIM_REAL(name_to_handle_at)
COSHIM_REAL(open_by_handle_at)
COSHIM_REAL(fopen)
COSHIM_REAL(freopen)
COSHIM_REAL(opendir)
COSHIM_REAL(getdirentries)
COSHIM_REAL(pathconf)
COSHIM_REAL(ttyname_r)
COSHIM_REAL(__ttyname_r_chk)
COSHIM_REAL(mount)
COSHIM_REAL(umount)
COSHIM_REAL(umount2)
COSHIM_REAL(sethostname)
COSHIM_REAL(setdomainname)
COSHIM_REAL(setgroups)
COSHIM_REAL(getcpu)
COSHIM_REAL(capget)
COSHIM_REAL(execve)
COSHIM_REAL(execv)
COSHIM_REAL(execvp)
COSHIM_REAL(execvpe)
COSHIM_REAL(execveat)
COSHIM_REAL(fexecve)
COSHIM_REAL(settimeofday)
COSHIM_REAL(adjtimex)
COSHIM_REAL(clock_adjtime)
COSHIM_REAL(msgctl)
COSHIM_REAL(semctl)
COSHIM_REAL(shmctl)
COSHIM_REAL(mq_getattr)
COSHIM_REAL(mq_setattr)
COSHIM_REAL(mq_unlink)

}  // namespace coshim
