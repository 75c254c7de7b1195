#include "runtime/thread/signals.h"

#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"

namespace coshim {

void deliver_deferred_signals() { t_local.signals_deferred = false; }
void signals_start() {}

}  // namespace coshim
