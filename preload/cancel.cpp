#include "preload/cancel.h"

#include "preload/hook.h"

namespace coshim {

void cancellation_point() {
  if (in_coroutine()) pthread_testcancel();
}

bool restart_after_signal() { return true; }

}  // namespace coshim
