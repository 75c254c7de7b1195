#include "preload/cancel.h"

#include "preload/hook.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

void cancellation_point() {
  if (t_local.handler_depth > 0) return;
  if (Coroutine* self = t_local.coroutine) {
    if (__builtin_expect(t_local.signals_deferred, 0)) deliver_deferred_signals();
    send_due_cancel_signal(self);
  }
  pthread_testcancel();
}

void asynchronous_cancellation_point() {
  if (Coroutine* self = current_coroutine()) send_due_cancel_signal(self);
}

AfterInterrupt after_interrupt() {
  uint32_t interrupts = current_coroutine()->interrupts.load(std::memory_order_acquire);
  bool signal = (interrupts & kInterruptSignal) != 0 || t_local.signals_deferred;
  restart_after_signal();
  return signal || interrupts == 0 ? AfterInterrupt::handler : AfterInterrupt::nothing;
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
