// glibc's handler answers for the thread that it finds itself on. On a worker that is a coroutine, of which
// glibc's list of threads knows nothing: it would ask the worker for ever. So the handler runs under the
// worker's own identity.
#include "runtime/thread/setxid.h"

#include <asm/prctl.h>
#include <signal.h>

#include "runtime/sched/processor.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr int kSetxidSignal = 33;

std::atomic<void (*)(int, siginfo_t*, void*)> g_glibc_handler{nullptr};

void use_identity(uintptr_t fs_base) {
  sys::call(SYS_arch_prctl, ARCH_SET_FS, fs_base);
}

void setxid_trampoline(int signal, siginfo_t* info, void* context) {
  const Worker* worker = t_local.worker;
  const uintptr_t found = current_fs_base();
  const bool other = worker != nullptr && worker->fs_base != found;
  if (other) use_identity(worker->fs_base);
  // It calls abort() where a thread alone had changed its identity before: the program's handler is to run.
  const uint32_t critical = t_local.critical;
  t_local.critical = 0;
  g_glibc_handler.load(std::memory_order_acquire)(signal, info, context);
  t_local.critical = critical;
  if (other) use_identity(found);
}

}  // namespace

void guard_setxid_signal() {
  KernelAction current{};
  if (sys::call(SYS_rt_sigaction, kSetxidSignal, nullptr, &current, sizeof(sys::KernelSignalSet)) != 0)
    return;
  if (current.handler == reinterpret_cast<void*>(SIG_DFL) ||
      current.handler == reinterpret_cast<void*>(SIG_IGN) ||
      current.handler == reinterpret_cast<void*>(&setxid_trampoline)) {
    return;
  }
  g_glibc_handler.store(reinterpret_cast<void (*)(int, siginfo_t*, void*)>(current.handler));
  current.handler = reinterpret_cast<void*>(&setxid_trampoline);
  current.mask = ~sys::KernelSignalSet{0};  // nothing else may run under the wrong identity
  sys::call(SYS_rt_sigaction, kSetxidSignal, &current, nullptr, sizeof(sys::KernelSignalSet));
}

}  // namespace coshim
