// A coroutine's life: created, run, ended, joined or detached; and the runtime's own start with the first of
// them.
#pragma once

#include "runtime/thread/thread.h"

namespace coshim {

// Starts the runtime at the first pthread_create. False: this process stays native (after one line that says
// why, or because it was told to).
bool runtime_ensure_started();
bool runtime_started();
// Something of the hooks' own to be done when the runtime has started (again after a fork). Registered before
// main.
void runtime_at_start(void (*callback)());

struct CreateRequest {
  void* (*start_routine)(void*) = nullptr;
  int (*c11_start)(void*) = nullptr;
  void* argument = nullptr;
  size_t stack_size = 0;           // bytes
  size_t guard_size = 0;           // bytes
  void* user_stack_low = nullptr;  // pthread_attr_setstack: used as given
  bool detached = false;
  sys::KernelSignalSet signal_mask = 0;
  bool own_policy = false;  // else its creator's
  int schedule_policy = 0;
  int schedule_priority = 0;
};
// Creates and starts a coroutine. 0, or EAGAIN when memory ends. *thread is set before it can run.
int create_coroutine(const CreateRequest& request, pthread_t* thread);

// pthread_join and relatives: 0 or an error number (ESRCH, EINVAL, EDEADLK, EBUSY, ETIMEDOUT). `deadline` 0:
// try only. Returns -1 when the wait was interrupted by a cancellation request (call the cancellation point,
// then again).
int join_coroutine(Coroutine* target, void** result, Nanoseconds deadline);
int detach_coroutine(Coroutine* target);
// Has it ended (for pthread_kill and others, which natively give ESRCH or success then)?
bool coroutine_ended(const Coroutine* coroutine);
bool coroutine_detached(const Coroutine* coroutine);

// Gives back the memory of a coroutine that has ended: stack, TLS and TCB.
void release_stack(Coroutine* coroutine);

// Scheduler call-back: `coroutine` has ended and its stack is no longer in use.
void coroutine_switched_off(Coroutine* coroutine);

// The process ends with its last thread (pthread_exit of main): every thread of the program counts while it
// lives.
void program_thread_began();
void program_thread_ended();  // may call exit(0)
void program_thread_not_made();
void program_threads_after_fork();

// Around fork(), on whatever thread calls it: pthread_atfork handlers of ours, and the _Fork hook.
// The program is about to put itself under a seccomp filter: from now on no system calls but common ones.
void entering_seccomp();

void runtime_before_fork();
void runtime_after_fork_in_parent();
void runtime_after_fork_in_child();

}  // namespace coshim
