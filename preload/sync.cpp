#include "preload/sync.h"

#include "preload/cancel.h"
#include "preload/hook.h"
#include "runtime/base/system_call.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

// May be hooked, or not: always libc's.
template <typename Function>
Function* libc_function(std::atomic<void*>& cache, const char* name) {
  void* function = cache.load(std::memory_order_relaxed);
  if (function == nullptr) {
    function = resolve_real(name, nullptr);
    cache.store(function, std::memory_order_relaxed);
  }
  return reinterpret_cast<Function*>(function);
}
std::atomic<void*> g_testcancel, g_setcancelstate;

}  // namespace

void sync_cancellation_point() {
  if (in_signal_handler()) return;  // as cancellation_point()
  if (Coroutine* self = current_coroutine()) send_due_cancel_signal(self);
  libc_function<void()>(g_testcancel, "pthread_testcancel")();
}

bool cancellation_enabled() {
  auto* set_state = libc_function<int(int, int*)>(g_setcancelstate, "pthread_setcancelstate");
  int state = PTHREAD_CANCEL_DISABLE;
  set_state(PTHREAD_CANCEL_DISABLE, &state);
  if (state == PTHREAD_CANCEL_ENABLE) set_state(PTHREAD_CANCEL_ENABLE, nullptr);
  return state == PTHREAD_CANCEL_ENABLE;
}

uint32_t take_interrupts(Thread* thread) {
  return thread->interrupts.exchange(0, std::memory_order_acq_rel);
}

bool run_handlers(uint32_t interrupts) {
  // A kernel thread's handlers have run already, natively.
  if ((interrupts & kInterruptSignal) == 0 || current_coroutine() == nullptr) return true;
  return restart_after_signal();
}

void doze() {
  timespec interval{0, 1000000};
  sys::call(SYS_nanosleep, &interval, nullptr);
}

bool sync_layouts_ok() {
  return mutex_layout_ok() && condition_layout_ok() && rwlock_layout_ok() && barrier_layout_ok() &&
         semaphore_layout_ok() && once_layout_ok();
}

}  // namespace coshim
