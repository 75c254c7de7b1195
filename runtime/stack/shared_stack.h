// Stack mode `shared` (DESIGN §4): few stacks at fixed addresses, each used by many coroutines, one at a
// time. A coroutine is bound to one of them for its life, since addresses of its frames must not change; its
// TLS and TCB are its own (tls_slot.h). The live bytes are copied out only when another one needs the stack:
//
//   holder     the coroutine that stands on the stack, or for which it is kept free; null: nobody
//   occupant   the coroutine whose bytes lie on the stack: stays when it parks
//   waiting    coroutines that could run, but whose stack somebody else holds: first come, first served
//
// A worker that picks a coroutine claims its stack first; one whose stack is held is set aside and comes back
// into a run queue when the stack is released for it, so nobody polls. A holder that does not let go (a CPU
// loop, a call that blocks in the kernel) is made to by the monitor (runtime/sched/shared_switch.h).
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

struct SharedStack {
  std::atomic<Coroutine*> holder{nullptr};
  Coroutine* occupant = nullptr;  // changed by who claimed the stack
  char* low = nullptr;
  char* top = nullptr;
  StackSlot* slot = nullptr;
  std::atomic<uint32_t> waiting_count{0};
  std::atomic<uint32_t> owners{0};  // coroutines that are bound to it

  SpinLock lock;  // guards the queue
  Coroutine* first_waiting = nullptr;
  Coroutine* last_waiting = nullptr;

  // The monitor's.
  Coroutine* seen_holder = nullptr;
  uint64_t seen_switches = 0;
  Nanoseconds held_since = 0;
  Nanoseconds seen_cpu_time = -1;  // its kernel thread's; -1: not looked at yet
  std::atomic<bool> stuck{false};  // its holder has not let go for long: nothing for new coroutines

  bool contains(const void* address) const {
    return static_cast<const char*>(address) >= low && static_cast<const char*>(address) <= top;
  }
};

// True in stack mode `shared`, from the start of the runtime on.
extern bool g_shared_stacks;
void shared_stacks_start(size_t stacks);

// Binds a new coroutine to the stack with the fewest owners among those of this size. Null when memory ends
// or there are too many different sizes.
SharedStack* bind_shared_stack(size_t stack_size, size_t guard_size);
// The coroutine has ended: releases what is saved of it, too.
void leave_shared_stack(Coroutine* coroutine);

// The first frame of a new coroutine, as if it had been copied out. False when memory ends.
bool prepare_shared_stack(Coroutine* coroutine, void (*entry)(void*));

// Takes the stack of `coroutine`, which is about to run. False: somebody holds it; the coroutine is queued
// and will come out of a release_shared_stack().
bool claim_shared_stack(Coroutine* coroutine);
// Queues without a try.
void wait_for_shared_stack(Coroutine* coroutine);
// The holder lets go. The coroutine for which the stack is kept now (it has to be made runnable), or null.
Coroutine* release_shared_stack(SharedStack* stack);

// Puts the bytes of `coroutine`, which holds its stack, there, from `stack_pointer` on; copies the occupant's
// out first. False: no memory to copy them to. Must not be called on that stack.
bool load_shared_stack(Coroutine* coroutine, void* stack_pointer);
// Copies the live bytes from `stack_pointer` on out of the stack. False: no memory.
bool save_shared_stack(Coroutine* coroutine, const void* stack_pointer);

// Where the live bytes of a coroutine that does not run are at the moment: `bytes` is what belongs at
// `address`. For the dump; may be out of date when it returns. A size of 0: it has no shared stack.
struct StackBytes {
  const char* bytes;
  uintptr_t address;
  size_t size;
};
StackBytes shared_stack_bytes(const Coroutine* coroutine);

// All coroutines that wait for a stack, of all stacks. No lock.
extern std::atomic<uint32_t> g_waiting_for_stacks;
void for_each_shared_stack(void (*visit)(SharedStack*, void*), void* context);
// The one that `address` lies in; null: none.
SharedStack* find_shared_stack(const void* address);

struct SharedStackStatistics {
  size_t stacks, owners, waiting, largest_saved;
  uint64_t copies;
};
SharedStackStatistics shared_stack_statistics();

void lock_shared_stacks_for_fork();
// In the child all coroutines but `self` (null: none) are gone. It stands on its stack for ever, now as a
// kernel thread: that one is nobody else's any more.
void unlock_shared_stacks_after_fork(bool child, Coroutine* self);

}  // namespace coshim
