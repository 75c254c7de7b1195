// The small slots of threads whose stack is elsewhere (shared stacks, pthread_attr_setstack): static TLS and
// struct pthread alone, packed without regard to pages.
//
//   | static TLS | struct pthread | static TLS | struct pthread | ...
//
// The distance from one to the next is no multiple of a page, so their hot words do not share cache sets.
#pragma once

#include <stddef.h>

namespace coshim {

// The address for a TCB, with room for the static TLS below it (runtime/thread/tcb.h); null when memory ends.
// Thread-safe.
void* acquire_tls_slot();
void release_tls_slot(void* tcb);

// Was a TCB built in this slot before, so that its dynamic TLS has to be released first?
bool tls_slot_used(void* tcb);
void forget_tls_slot_use(void* tcb);

// Held across fork(), so that the child finds the free list whole.
void lock_tls_slots_for_fork();
void unlock_tls_slots_after_fork(bool child);

}  // namespace coshim
