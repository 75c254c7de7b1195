// Processes: children, and waiting for them.
//
//   fork            nothing to do here: libc's runs our pthread_atfork handlers (init.cpp)
//   exec*, exit*    the real ones
//   wait            try; then wait on a pidfd of the child, or in a blocking region
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/kernel_wait.h"
#include "preload/region.h"
#include "preload/user_memory.h"
#include "runtime/io/await.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/loaded_modules.h"

namespace coshim {

HOOK(pid_t, _Fork, ()) {
  runtime_before_fork();
  pid_t child = real::_Fork();
  int error = errno;
  if (child == 0) {
    runtime_after_fork_in_child();
  } else {
    runtime_after_fork_in_parent();
  }
  errno = error;
  return child;
}

// vfork(2): the child runs in our memory, on our stack, until it executes a program or exits; its parent's
// kernel thread stands still. Meanwhile it must not be taken for the coroutine: it has the parent's
// thread-local words, so these say "kernel thread" until the parent goes on. The frame returns twice, hence
// no C: the return address waits in a register.
extern "C" __attribute__((visibility("hidden"), used)) void coshim_before_vfork() {
  if (g_descriptors_active.load(std::memory_order_relaxed)) descriptors_forking();
}
extern "C" __attribute__((visibility("hidden"), used)) pid_t coshim_vfork_failed(long error) {
  return return_errno<pid_t>(error);
}

extern "C" __attribute__((naked)) pid_t hook_vfork() {
  __asm__ volatile(
      "endbr64\n\t"
      "subq $8, %%rsp\n\t"
      "call coshim_before_vfork\n\t"
      "addq $8, %%rsp\n\t"
      "popq %%rdi\n\t"
      "movq _ZN6coshim7t_localE@gottpoff(%%rip), %%rdx\n\t"
      "movq %%fs:%c0(%%rdx), %%rsi\n\t"
      "movq $0, %%fs:%c0(%%rdx)\n\t"
      "movb %%fs:%c1(%%rdx), %%r8b\n\t"
      "movb $1, %%fs:%c1(%%rdx)\n\t"
      "movl $58, %%eax\n\t"  // SYS_vfork
      "syscall\n\t"
      "pushq %%rdi\n\t"
      "testq %%rax, %%rax\n\t"
      "jz 1f\n\t"
      "movq %%rsi, %%fs:%c0(%%rdx)\n\t"
      "movb %%r8b, %%fs:%c1(%%rdx)\n\t"
      "js 2f\n"
      "1:\tret\n"
      "2:\tmovq %%rax, %%rdi\n\t"
      "jmp coshim_vfork_failed\n\t"
      :
      : "i"(offsetof(ThreadLocal, coroutine)), "i"(offsetof(ThreadLocal, vfork_child)));
}

// The children below share our open file descriptions, as after a fork.
HOOK(int, posix_spawn,
     (pid_t * pid, const char* path, const posix_spawn_file_actions_t* actions,
      const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment)) {
  coshim_before_vfork();
  return real::posix_spawn(pid, path, actions, attributes, arguments, environment);
}

HOOK(int, posix_spawnp,
     (pid_t * pid, const char* file, const posix_spawn_file_actions_t* actions,
      const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment)) {
  coshim_before_vfork();
  return real::posix_spawnp(pid, file, actions, attributes, arguments, environment);
}

HOOK(FILE*, popen, (const char* command, const char* type)) {
  coshim_before_vfork();
  FILE* stream = real::popen(command, type);
  if (stream != nullptr) descriptor_opened(stream->_fileno);
  return stream;
}

HOOK(int, system, (const char* command)) {
  coshim_before_vfork();
  BlockingRegion region("system");
  return real::system(command);
}

COSHIM_REGION(pclose, true)

namespace {

// A WNOHANG call that gave 0 as a failure with an errno of its own.
constexpr int kNoChild = EAGAIN;
pid_t fails_at_zero(pid_t result) {
  if (result != 0) return result;
  errno = kNoChild;
  return -1;
}

// Calls try_once(), which gives 0 while the child has not changed, whenever the process behind `pid` (or the
// pidfd) has ended. -EOPNOTSUPP: it can't be waited for in this way.
template <typename Try>
long wait_on_descriptor(pid_t pid, int pidfd, Try&& try_once) {
  for (;;) {
    int fd = pidfd;
    if (fd < 0) {
      fd = hide_descriptor(static_cast<int>(sys::call(SYS_pidfd_open, pid, 0)));
      if (fd < 0) return -EOPNOTSUPP;
    }
    AwaitOptions options;
    options.check_nonblocking = false;
    long result = await_descriptor(fd, options, [&]() -> long {
      long tried = try_once();
      return tried == 0 ? -EAGAIN : tried;
    });
    if (pidfd < 0) close_hidden_descriptor(fd);
    if (result != -EINTR) return result;
    cancellation_point();
    if (!restart_after_signal()) return -EINTR;
  }
}

// A tracer is told when its tracee stops, whatever it waits for (ptrace(2)); a pidfd is silent then.
bool may_be_tracer() {
  enum { kUnknown, kNo, kYes };
  static std::atomic<int> answer{kUnknown};
  if (answer.load(std::memory_order_relaxed) == kUnknown) {
    bool named = module_names("ptrace", reinterpret_cast<const void*>(&__errno_location));  // libc names it
    answer.store(named ? kYes : kNo, std::memory_order_relaxed);
  }
  return answer.load(std::memory_order_relaxed) == kYes;
}

// What waitid(2) tells, or EFAULT: the child has been waited for all the same.
int give_info(siginfo_t* info, const siginfo_t& found) {
  if (!absent_or_writable(info)) return return_errno<int>(-EFAULT);
  if (info != nullptr) *info = found;
  return 0;
}

pid_t wait_child(pid_t pid, int* status, int options, struct rusage* usage) {
  cancellation_point();
  if ((options & WNOHANG) != 0) return real::wait4(pid, status, options, usage);
  auto try_once = [&]() -> long { return sys::call(SYS_wait4, pid, status, options | WNOHANG, usage); };
  long result = try_once();
  if (result != 0) return return_errno<pid_t>(result);
  if (pid > 0 && options == 0 && !may_be_tracer()) {
    result = wait_on_descriptor(pid, -1, try_once);
    if (result != -EOPNOTSUPP) return return_errno<pid_t>(result);
  }
  return wait_within_limit(
      "wait4", Interrupted::restarts, kForever,
      [&]() -> pid_t { return fails_at_zero(real::wait4(pid, status, options | WNOHANG, usage)); },
      [](int error) { return error == kNoChild; }, [&] { return real::wait4(pid, status, options, usage); });
}

}  // namespace

HOOK(pid_t, wait4, (pid_t pid, int* status, int options, struct rusage* usage)) {
  return in_coroutine() ? wait_child(pid, status, options, usage) : real::wait4(pid, status, options, usage);
}

HOOK(pid_t, wait3, (int* status, int options, struct rusage* usage)) {
  return in_coroutine() ? wait_child(-1, status, options, usage) : real::wait3(status, options, usage);
}

HOOK(pid_t, waitpid, (pid_t pid, int* status, int options)) {
  return in_coroutine() ? wait_child(pid, status, options, nullptr) : real::waitpid(pid, status, options);
}

HOOK(pid_t, wait, (int* status)) {
  return in_coroutine() ? wait_child(-1, status, 0, nullptr) : real::wait(status);
}

HOOK(int, waitid, (idtype_t type, id_t id, siginfo_t* info, int options)) {
  if (!in_coroutine()) return real::waitid(type, id, info, options);
  cancellation_point();
  if ((options & WNOHANG) != 0) return real::waitid(type, id, info, options);
  siginfo_t found;
  auto try_once = [&]() -> long {
    found.si_pid = 0;
    long result = sys::call(SYS_waitid, type, id, &found, options | WNOHANG, nullptr);
    return result < 0 ? result : found.si_pid;
  };
  long result = try_once();
  bool by_descriptor = (type == P_PID || type == P_PIDFD) &&
                       (options & (WSTOPPED | WCONTINUED | __WCLONE | __WALL)) == 0 && !may_be_tracer();
  // pidfd_open(2), PIDFD_NONBLOCK.
  if (result == 0 && type == P_PIDFD && program_wants_nonblocking(static_cast<int>(id)))
    return return_errno<int>(-EAGAIN);
  if (result == 0 && by_descriptor) {
    result =
        wait_on_descriptor(static_cast<pid_t>(id), type == P_PIDFD ? static_cast<int>(id) : -1, try_once);
    if (result == -EOPNOTSUPP) result = 0;
  }
  if (result == 0) {
    return wait_within_limit(
        "waitid", Interrupted::restarts, kForever,
        [&] {
          long tried = try_once();
          if (tried > 0) return give_info(info, found);
          return fails_at_zero(return_errno<pid_t>(tried));
        },
        [](int error) { return error == kNoChild; }, [&] { return real::waitid(type, id, info, options); });
  }
  if (result < 0) return return_errno<int>(result);
  return give_info(info, found);
}

}  // namespace coshim
