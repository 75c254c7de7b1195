#include "preload/cancel.h"

#include "preload/hook.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

void cancellation_point() {
  if (!in_coroutine()) return;
  if (__builtin_expect(t_local.signals_deferred, 0)) deliver_deferred_signals();
  pthread_testcancel();
}

void asynchronous_cancellation_point() {
  constexpr int kAsynchronous = 2;  // CANCELTYPE_BITMASK, glibc's nptl/descr.h
  Coroutine* self = current_coroutine();
  if ((self->interrupts.load(std::memory_order_acquire) & kInterruptCancel) == 0) return;
  int state = tcb_cancel_state(self->fs_base);
  if (state >= 0 && (state & kAsynchronous) != 0) pthread_testcancel();
}

bool restart_after_signal() {
  Coroutine* self = current_coroutine();
  // Also a cancellation that cannot act, as it is disabled: it must not end the next wait too. glibc's books
  // keep it, and the next cancellation point after pthread_setcancelstate() acts on it.
  self->interrupts.fetch_and(~static_cast<uint32_t>(kInterruptSignal | kInterruptCancel),
                             std::memory_order_acq_rel);
  if (t_local.signals_deferred) deliver_deferred_signals();
  bool restart = !t_local.no_restart;
  t_local.no_restart = false;
  return restart;
}

}  // namespace coshim
