// Where descriptor readiness comes from: one face, an epoll back end (epoll.cpp); io_uring can stand behind
// the same face. The scheduler calls collect() when a processor has nothing else to do and now and then while
// it has.
#pragma once

#include <stdint.h>

#include "runtime/base/clock.h"

namespace coshim {

// Makes the poller's descriptors, hidden. 0 or -errno. Called with the first coroutine; idempotent.
int poller_start();

// Edge-triggered interest in everything for `fd` for its lifetime; the event carries `generation`. 0, -EPERM
// (not pollable: always ready), or another -errno.
int poller_register(int fd, uint32_t generation);
void poller_unregister(int fd);

// The number that DescriptorEntry::registered_with must equal to count; raised by a fork.
uint32_t poller_epoch();

// Takes pending events and makes the waiters runnable. Does not block when `deadline` is 0; else blocks the
// calling kernel thread until an event, poller_wake() or `deadline` (CLOCK_MONOTONIC, kForever). Every signal
// is blocked meanwhile. Returns the number of events taken.
int poller_collect(Nanoseconds deadline);

// Calls hand_out_signals() (runtime/thread/signals.h) when one of `signals` becomes pending for the process.
// 0 or -errno.
int poller_watch_signals(uint64_t signals);

// From now on clock_was_set() (runtime/wait/program_deadline.h) is called after CLOCK_REALTIME was set.
// Idempotent; where the kernel refuses, nothing happens.
void poller_watch_clock();

// Ends a blocking poller_collect() of another kernel thread. Async-signal-safe.
void poller_wake();

// One of the poller's own descriptors is known under another number now. False: it is none of them.
bool poller_moved(int from, int to);

// Called by the back end for each event: `events` are EPOLL* bits. Defined in await.cpp.
void descriptor_event(int fd, uint32_t generation, uint32_t events);

// The child of a fork: closes the inherited descriptors and forgets registrations.
void poller_reset_after_fork();

}  // namespace coshim
