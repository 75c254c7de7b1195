// A jump out of a handler ends the handler, and every jump may set the signal mask. A jump does not return,
// so all there is to do comes first; then one jump to the real function, in the caller's registers.
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include "preload/hook.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

// Relies on glibc's sysdeps/x86_64/{jmpbuf-offsets,pointer_guard}.h: word 6 of a jmp_buf is the stack
// pointer, mangled by the pointer guard in the TCB.
constexpr int kStackPointerWord = 6;

uintptr_t unmangled_stack_pointer(const __jmp_buf_tag* environment) {
  uintptr_t word;
  memcpy(&word, &environment->__jmpbuf[kStackPointerWord], sizeof(word));
  __asm__("ror $0x11, %0\n\txor %%fs:0x30, %0" : "+r"(word));
  return word;
}

// That it still is so, seen on a jmp_buf of our own.
__attribute__((noinline)) bool layout_is_known() {
  constexpr uintptr_t kFrame = 1024;
  jmp_buf own;
  if (_setjmp(own) != 0) return false;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t found = unmangled_stack_pointer(own);
  return found <= here && here - found < kFrame;
}

// 0: unknown, which is in no handler.
uintptr_t stack_pointer_of(const __jmp_buf_tag* environment) {
  return layout_is_known() ? unmangled_stack_pointer(environment) : 0;
}

void announce(const __jmp_buf_tag* environment) {
  const bool sets_mask = environment->__mask_was_saved != 0;
  if (__builtin_expect(t_local.handler_depth == 0 && !sets_mask, 1)) return;
  sys::KernelSignalSet mask;
  memcpy(&mask, &environment->__saved_mask, sizeof(mask));
  about_to_jump(t_local.handler_depth != 0 ? stack_pointer_of(environment) : 0, sets_mask ? &mask : nullptr);
}

void announce(const ucontext_t* context) {
  sys::KernelSignalSet mask;
  memcpy(&mask, &context->uc_sigmask, sizeof(mask));
  about_to_jump(static_cast<uintptr_t>(context->uc_mcontext.gregs[REG_RSP]), &mask);
}

}  // namespace

HOOK(void, longjmp, (__jmp_buf_tag * environment, int value)) {
  announce(environment);
  real::longjmp(environment, value);
  __builtin_unreachable();
}

HOOK(void, __longjmp_chk, (__jmp_buf_tag * environment, int value)) {
  announce(environment);
  real::__longjmp_chk(environment, value);
  __builtin_unreachable();
}

HOOK(int, setcontext, (const ucontext_t* context)) {
  announce(context);
  return real::setcontext(context);
}

HOOK(int, swapcontext, (ucontext_t * save, const ucontext_t* context)) {
  announce(context);
  return real::swapcontext(save, context);
}

}  // namespace coshim
