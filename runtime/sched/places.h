// How many kernel threads the program's threads may hold in blocking regions at once: COSHIM_BLOCKING of each
// kind. What else holds one is bounded by nothing but the program, as natively (docs/limits.md).
//
//   names   look-ups of names: they end by themselves. Beyond the limit threads queue, first come, first
//   served.
//           A look-up may wait for another thread that needs a look-up itself (a program that is its own name
//           server): when none has ended for a second, a
//           quarter of the limit goes in beyond it. So there is no deadlock that the
//           program did not have natively (contract rule 2).
//   waits   file locks, System V IPC, wait(2), ...: they may wait for each other, so nobody queues. Who gets
//   no
//           place tries again at intervals (preload/kernel_wait.h).
//
// A place belongs to a coroutine until leave_place(); it is given back too when the coroutine ends inside, by
// cancellation, or jumps out of a signal handler.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

enum class PlaceKind : uint8_t { none, names, waits };

// A coroutine only, with no place so far.
bool try_take_place(PlaceKind kind);
void take_place(PlaceKind kind);  // parks until there is one

// No-op without a place.
void leave_place(Coroutine* coroutine);

void places_reset_after_fork();

}  // namespace coshim
