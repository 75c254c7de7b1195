// Elastic stacks (DESIGN §4): a coroutine that has been parked for COSHIM_STACK_IDLE has the live bytes of
// its slot (stack, TLS and struct pthread) saved compactly and its pages given back; whoever resumes it, or
// touches its addresses, brings them back first. In private mode only what lies below the live part is given
// back.
//
// Who may touch the slot is decided by one word, Coroutine::residency:
//
//            saver                      saver                       anyone
//   resident -----> saving --(done)---> saved --------> restoring -----> resident
//                     '------(changed its mind)---------------------------^
//
// A worker stores `running` and then reads the residency, both plainly; the saver stores `saving` and reads
// the state with a membarrier(2) between them: one of the two sees the other. So a switch costs one load.
// Writers that come while the bytes are copied wait in their fault (pager.h), so no write is lost.
#pragma once

#include "runtime/base/clock.h"
#include "runtime/thread/thread.h"

namespace coshim {

// The slow half of a resume, and what every other access does: waits for a save in progress, brings the stack
// back. Async-signal-safe.
void elastic_bring_back(Coroutine* coroutine);

// By the fault handler: true where `address` lies in a slot and the access is worth another try.
bool elastic_touched(const void* address);
// Before a system call that gets `address`, which the kernel could not bring back: gives whose stack it lies
// in, to be let go of after the call; null where it lies in no slot, or in the caller's own.
Coroutine* elastic_reach(const void* address);
inline void elastic_let_go(Coroutine* owner) {
  owner->reached.fetch_sub(1, std::memory_order_release);
}

struct IdleScan {
  size_t handled;    // saved or trimmed now
  size_t remaining;  // parked with their pages, but not for long enough yet
};
// One pass of the saver over all coroutines. One caller at a time.
IdleScan elastic_scan(Nanoseconds idle, bool save);

// Before the program puts itself under a seccomp filter, which might kill for what the pager calls: brings
// all stacks back, and saves none any more.
void elastic_stop();

// Before the program limits memory that is writable (RLIMIT_DATA): none may have to become so again.
void elastic_writable_memory_ends();

// Stacks become executable, now and later.
void elastic_make_executable();

// Memory for saving and bringing back. False where there is none.
bool elastic_start();

struct ElasticStatistics {
  uint64_t saves, restores, touches;
  size_t saved_now;
};
ElasticStatistics elastic_statistics();

// No save is under way across a fork().
void lock_elastic_for_fork();
void unlock_elastic_after_fork(bool child);

}  // namespace coshim
