#include "runtime/thread/loaded_modules.h"

#include <sys/auxv.h>

#include <atomic>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"
#include "runtime/thread/critical.h"

namespace coshim {

namespace {

SpinLock g_lock;
std::atomic<pid_t> g_holder{0};

int asks_for_executable_stacks(dl_phdr_info* info, size_t, void*) {
  // The vDSO does not come through the dynamic loader.
  if (info->dlpi_addr == getauxval(AT_SYSINFO_EHDR)) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type == PT_GNU_STACK) return (info->dlpi_phdr[i].p_flags & PF_X) != 0;
  }
  return 1;
}

}  // namespace

bool module_wants_executable_stacks() {
  return for_each_module(&asks_for_executable_stacks, nullptr) != 0;
}

int for_each_module(int (*visit)(dl_phdr_info*, size_t, void*), void* context) {
  CriticalSection critical;
  const pid_t self = sys::gettid();
  // The report of a stack that overflowed in here.
  if (g_holder.load(std::memory_order_relaxed) == self) return dl_iterate_phdr(visit, context);
  SpinGuard guard(g_lock);
  g_holder.store(self, std::memory_order_relaxed);
  int result = dl_iterate_phdr(visit, context);
  g_holder.store(0, std::memory_order_relaxed);
  return result;
}

void lock_modules_for_fork() {
  g_lock.lock();
}

void unlock_modules_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim
