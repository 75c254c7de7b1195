// The saver: a hidden thread that gives back the pages of stacks whose coroutines have been parked for
// COSHIM_STACK_IDLE (runtime/stack/elastic.h). It looks now and then while the process is busy; when all is
// idle and all is saved it sleeps until work begins again (contract rule 5, "idle: no wake-ups").
#pragma once

namespace coshim {

// False where no kernel thread can be had: stacks then keep their pages.
bool saver_start();
// Work began after all was idle. Called by the monitor.
void saver_wake();

}  // namespace coshim
