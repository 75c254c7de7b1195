// Which threads stay kernel threads from their creation on: what COSHIM_NATIVE names, and whoever gets a
// real-time policy (DESIGN §9, §10).
#pragma once

#include <pthread.h>

namespace coshim {

// Does COSHIM_NATIVE name this start routine or its module? `argument` is the thread's: std::thread's own
// start routine is libstdc++'s, and the program's code is found through it.
bool named_native(const void* start_routine, const void* argument);

// A thread to be created with a real-time policy: its own, or its creator's, which is the default.
// `explicitly` then holds the attributes to create it with, if not null: a copy that need not be destroyed.
struct RealTimeChoice {
  bool real_time = false;
  bool use_copy = false;
  pthread_attr_t copy;
};
void choose_real_time(const pthread_attr_t* attributes, RealTimeChoice* choice);

// pthread_create() of a thread that stays a kernel thread: it counts as a thread of the program, which lives
// as long as one of them does.
int create_native_thread(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                         void* argument);

// A kernel thread of the program has asked for a policy; threads created by such threads inherit it.
void policy_changed_on_kernel_thread();

}  // namespace coshim
