// Calls that change what the kernel keeps for the calling thread alone (credentials(7), "per-thread
// attribute"; capabilities(7), namespaces(7), seccomp(2), ...): the coroutine gets its kernel thread for
// itself. libc's setuid(3) and its relatives are not among them: they change all threads (nptl(7)).
#include "preload/own_thread.h"

#include <linux/seccomp.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#include "preload/hook.h"

namespace coshim {

namespace {

constexpr long kSetGsBase = 0x1001;           // ARCH_SET_GS, arch_prctl(2)
constexpr long kJoinSessionKeyring = 1;       // KEYCTL_JOIN_SESSION_KEYRING, keyctl(2)
constexpr uint32_t kSingleIssuer = 1U << 12;  // IORING_SETUP_SINGLE_ISSUER, io_uring_setup(2)
constexpr unsigned long kAsk = 0xffffffff;    // personality(2)
constexpr unsigned kNobody = ~0U;             // setfsuid(2): changes nothing, asks

// struct io_uring_params: the third word.
bool is_for_one_thread(long ring_parameters) {
  return ring_parameters != 0 && (reinterpret_cast<const uint32_t*>(ring_parameters)[2] & kSingleIssuer) != 0;
}

}  // namespace

bool prctl_changes_thread_alone(int option) {
  return option == PR_SET_SECCOMP || option == PR_SET_NO_NEW_PRIVS || option == PR_SET_SECUREBITS ||
         option == PR_SET_KEEPCAPS || option == PR_CAPBSET_DROP || option == PR_CAP_AMBIENT;
}

bool changes_thread_alone(long number, long a, long b) {
  switch (number) {
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setgroups:
    case SYS_capset:
    case SYS_unshare:
    case SYS_setns:
    case SYS_landlock_restrict_self:
    case SYS_pkey_alloc:
      return true;
    case SYS_setfsuid:
    case SYS_setfsgid:
      return static_cast<unsigned>(a) != kNobody;
    case SYS_seccomp:
      return (b & SECCOMP_FILTER_FLAG_TSYNC) == 0;
    // What threads do not inherit.
    case SYS_perf_event_open:
      return in_coroutine() && b == 0;
    case SYS_io_uring_setup:
      return in_coroutine() && is_for_one_thread(b);
    case SYS_arch_prctl:
      return in_coroutine() && a == kSetGsBase;
    case SYS_keyctl:
      return a == kJoinSessionKeyring;
    case SYS_personality:
      return static_cast<unsigned long>(a) != kAsk;
    default:
      return false;
  }
}

HOOK(int, setfsuid, (uid_t user)) {
  if (user == kNobody) return real::setfsuid(user);
  return change_alone([&] { return real::setfsuid(user); });
}

HOOK(int, setfsgid, (gid_t group)) {
  if (group == kNobody) return real::setfsgid(group);
  return change_alone([&] { return real::setfsgid(group); });
}

HOOK(int, capset, (void* header, void* data)) {
  return change_alone([&] { return real::capset(header, data); });
}

HOOK(int, unshare, (int flags)) {
  return change_alone([&] { return real::unshare(flags); });
}

HOOK(int, setns, (int fd, int type)) {
  return change_alone([&] { return real::setns(fd, type); });
}

// Rights of a protection key are in a register of the thread's (pkeys(7)), which new threads inherit.
HOOK(int, pkey_alloc, (unsigned flags, unsigned rights)) {
  return change_alone([&] { return real::pkey_alloc(flags, rights); });
}

HOOK(int, pkey_set, (int key, unsigned rights)) {
  return change_alone([&] { return real::pkey_set(key, rights); });
}

HOOK(int, personality, (unsigned long persona)) {
  if (persona == kAsk) return real::personality(persona);
  return change_alone([&] { return real::personality(persona); });
}

// A tracer is a thread (ptrace(2)).
HOOK(long, ptrace, (int request, pid_t process, void* address, void* data)) {
  if (!in_coroutine() || request == PTRACE_TRACEME) return real::ptrace(request, process, address, data);
  return change_alone([&] { return real::ptrace(request, process, address, data); });
}

}  // namespace coshim
