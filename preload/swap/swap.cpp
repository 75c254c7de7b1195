#include "preload/swap/swap.h"

#include <sys/auxv.h>

namespace coshim {

namespace {
constexpr unsigned long kHwcap2FsGsBase = 1UL << 1;  // arch/x86/include/uapi/asm/hwcap2.h

}  // namespace

SwapFunction g_swap = &coshim_swap_by_system_call;  // works everywhere
SwapThroughFunction g_swap_through = &coshim_swap_through_by_system_call;

void choose_swap() {
  if ((getauxval(AT_HWCAP2) & kHwcap2FsGsBase) == 0) return;
  g_swap = &coshim_swap;
  g_swap_through = &coshim_swap_through;
}

}  // namespace coshim
