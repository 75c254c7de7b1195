#include "preload/user_memory.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>

#include "runtime/base/system_call.h"

namespace coshim {

namespace {

// A mask is read before the call finds that there is no such `how` (rt_sigprocmask(2)): EFAULT or EINVAL, and
// nothing happens. Null is no mask.
bool can_read_word(uintptr_t address) {
  if (address == 0) address += sizeof(sys::KernelSignalSet);
  return sys::call(SYS_rt_sigprocmask, -1, address, nullptr, sizeof(sys::KernelSignalSet)) != -EFAULT;
}

// FUTEX_WAKE_OP changes its second word in one step: here by "or" with nothing, which writes what stands
// there. Nobody waits at the first word, and the comparison that would wake at the second one is with an
// unlikely value.
uint32_t g_nobody_waits_here;
bool can_write_word(uintptr_t address) {
  constexpr int kUnlikely = 0x7a5;
  constexpr uint32_t kOrNothing = FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, kUnlikely);
  return sys::call(SYS_futex, &g_nobody_waits_here, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, address,
                   kOrNothing) != -EFAULT;
}

// Calls probe() with an aligned word in each page of [address, address + size).
template <typename Probe>
bool all_pages(const void* address, size_t size, uintptr_t word, Probe&& probe) {
  constexpr uintptr_t kPage = 4096;
  const auto first = reinterpret_cast<uintptr_t>(address);
  if (first + size < first) return false;
  for (uintptr_t at = first; at < first + size; at = (at / kPage + 1) * kPage) {
    if (!probe(at & ~(word - 1))) return false;
  }
  return true;
}

}  // namespace

bool kernel_can_read(const void* address, size_t size) {
  return all_pages(address, size, sizeof(sys::KernelSignalSet), can_read_word);
}

bool kernel_can_write(const void* address, size_t size) {
  return all_pages(address, size, sizeof(uint32_t), can_write_word);
}

}  // namespace coshim
