// Between signals.cpp and signal_delivery.cpp.
#pragma once

#include <ucontext.h>

#include "runtime/thread/signals.h"

namespace coshim {

constexpr int kSignals = 64;
constexpr int kFirstRealTime = 34;  // nptl(7): 32 and 33 are glibc's
constexpr int kCancelSignal = 32;

// Guards the actions and what is pending for coroutines. Taken only inside critical sections.
extern SpinLock g_signal_lock;
extern KernelAction g_actions[kSignals + 1];

inline bool is_handler(const KernelAction& action) {
  return action.handler != reinterpret_cast<void*>(SIG_DFL) && action.handler != reinterpret_cast<void*>(SIG_IGN);
}
inline bool is_fault_signal(int signal) { return signal == SIGSEGV || signal == SIGBUS; }
KernelAction action_of(int signal);

// Sends to the calling kernel thread, with `info` as it is.
inline long signal_this_kernel_thread(int signal, const siginfo_t* info) {
  return sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal, info);
}

// A signal for the whole process, taken by a worker that sleeps: passes it on to a coroutine that accepts it. False: none does.
bool pass_on_to_a_coroutine(int signal, const siginfo_t* info);

}  // namespace coshim
