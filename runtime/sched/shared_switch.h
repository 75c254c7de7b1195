// Running coroutines on shared stacks (runtime/stack/shared_stack.h): claiming and loading a stack before a
// switch, letting it go after one, and making a holder that does not come back let go.
//
// Where the next coroutine needs the stack that the last one stands on, the switch goes through the worker's
// own stack, and the copying is done there. Where it needs another one, its bytes are put there first, and
// the switch is the ordinary one.
//
// Freezing. A holder that computes, or blocks in the kernel, while others wait for its stack would stop them
// for ever (contract rule 2), and its frames can't move. So the monitor sends its kernel thread a signal; on
// the alternate stack the handler copies the live bytes out, releases the stack and sleeps until it is the
// coroutine's turn again: a time slice, as the kernel would have given it. A system call that was interrupted
// goes on by SA_RESTART, or, in a blocking region, by BlockingRegion::repeat().
#pragma once

#include <signal.h>

#include "runtime/sched/processor.h"
#include "runtime/stack/shared_stack.h"

namespace coshim {

enum FreezeState : uint32_t { kNotFrozen = 0, kFrozen = 1, kThawed = 2 };

// Before `next` is resumed from the worker's own stack. False: it has to wait for its stack.
bool step_on_shared_stack(Coroutine* next);
// switch_away() in this mode: to `next`, or to another one whose stack is free, or to the worker's loop.
void switch_shared_stacks(Worker* worker, Coroutine* self, Coroutine* next);
// By whoever runs after `previous`, before anybody else may run it.
void step_off_shared_stack(Coroutine* previous, bool ended);

// Releases the stack, and sets going for whom it is kept then.
void let_go_of_shared_stack(SharedStack* stack);

// After no memory was found to copy a stack to: a pause before the next attempt.
void wait_for_memory();

// The monitor's tick.
void watch_shared_stacks(Nanoseconds now);
// May the monitor sleep?
inline bool somebody_waits_for_stack() {
  return g_waiting_for_stacks.load(std::memory_order_seq_cst) != 0;
}

// In the handler of the signal by which we reach our kernel threads.
bool is_freeze_request(const siginfo_t* info);
void freeze_here(const void* ucontext);

}  // namespace coshim
