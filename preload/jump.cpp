// longjmp out of a handler ends the handler. A jump does not return, so all there is to do comes first; then
// one jump to the real function, in the caller's registers.
#include <setjmp.h>
#include <string.h>

#include "preload/hook.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

void about_to_jump(__jmp_buf_tag* environment) {
  if (__builtin_expect(t_local.handler_depth == 0, 1)) return;
  sys::KernelSignalSet mask;
  memcpy(&mask, &environment->__saved_mask, sizeof(mask));
  left_handler_by_jump(environment->__mask_was_saved != 0 ? &mask : nullptr);
}

}  // namespace

HOOK(void, longjmp, (__jmp_buf_tag * environment, int value)) {
  about_to_jump(environment);
  real::longjmp(environment, value);
  __builtin_unreachable();
}

HOOK(void, __longjmp_chk, (__jmp_buf_tag * environment, int value)) {
  about_to_jump(environment);
  real::__longjmp_chk(environment, value);
  __builtin_unreachable();
}

}  // namespace coshim
