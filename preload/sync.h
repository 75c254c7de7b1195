// What the hooks of locks, conditions, semaphores and their like share.
#pragma once

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/thread/thread.h"
#include "runtime/wait/program_deadline.h"

namespace coshim {

// Before the first coroutine (and in a process that stays native, and in the child of a fork until it makes
// threads): nobody can be in the lot, and the real functions do everything.
inline bool threads_are_native() {
  return !g_descriptors_active.load(std::memory_order_relaxed);
}

// A handler of the program may have interrupted this thread's own wait, and its wait node with it. In there
// the real function waits in the kernel: the real unlock or post that every hook makes wakes it.
inline bool in_signal_handler() {
  return t_local.handler_depth != 0;
}

// pthread_testcancel(3) on whatever thread calls: waits in the lot are cancellation points on kernel threads
// too.
void sync_cancellation_point();
// Would a pending cancellation act now? Does not act itself.
bool cancellation_enabled();
// After WaitResult::interrupted: takes the interrupts of `thread`.
uint32_t take_interrupts(Thread* thread);
// Then: runs the handlers of the signals among them. Did none run, or do all of them ask for a restart
// (SA_RESTART)?
bool run_handlers(uint32_t interrupts);

// For waits that cannot park in a signal handler and have no real function to fall back on: a short sleep in
// the kernel.
void doze();

// What futex(2) waits can do, and with it glibc's clock variants of the waiting functions.
inline bool waitable_clock(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
}

// In mutex.cpp: waits for a mutex that a try found busy. The result of pthread_mutex_lock or _clocklock.
int lock_mutex_slowly(pthread_mutex_t* mutex, const ProgramDeadline& deadline);
// Do threads wait for this mutex in the lot (or in the kernel: process-shared)?
bool mutex_waits_in_lot(const pthread_mutex_t* mutex);
int kind_of(const pthread_mutex_t* mutex);
// `mutex` where it is both robust and process-shared, else null: for SharedRobustOperation.
pthread_mutex_t* shared_robust(pthread_mutex_t* mutex);
// The holder makes a private mutex one that is waited for in the kernel: it is used with a process-shared
// condition.
void share_mutex(pthread_mutex_t* mutex);

// The start-up self-check: are the fields of libc's objects that we read where we think they are (DESIGN §3)?
bool mutex_layout_ok();
bool condition_layout_ok();
bool rwlock_layout_ok();
bool barrier_layout_ok();
bool semaphore_layout_ok();
bool once_layout_ok();
bool sync_layouts_ok();

}  // namespace coshim
