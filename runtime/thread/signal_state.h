// Between signals.cpp, signal_delivery.cpp and handler_call.cpp.
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
  return action.handler != reinterpret_cast<void*>(SIG_DFL) &&
         action.handler != reinterpret_cast<void*>(SIG_IGN);
}
inline bool is_fault_signal(int signal) {
  return signal == SIGSEGV || signal == SIGBUS;
}
inline sys::KernelSignalSet* mask_of(ucontext_t* context) {
  return reinterpret_cast<sys::KernelSignalSet*>(&context->uc_sigmask);
}
KernelAction action_of(int signal);
// SIG_DFL in the kernel; the table keeps what the program has set.
void set_default_action(int signal);

// From the trampoline: calls the handler, and follows what it did to the mask in its context.
void run_handler(const KernelAction& action, int signal, siginfo_t* info, ucontext_t* context);

// What the kernel has of the worker's alternate stack while so many handlers of a coroutine run.
stack_t alternate_during(uint32_t handlers);
// libc is about to set this mask for the calling coroutine itself, by a system call that no hook sees.
void expect_mask(sys::KernelSignalSet mask);

// rt_tgsigqueueinfo(2) refuses SI_TKILL and the kernel's own codes to every thread but main, so ours are
// private ones; what they stand for is put back before the program sees it.
constexpr int kAttentionCode = -72;
constexpr int kResentCode = -73;  // si_errno keeps the code that it had

// Sends to the calling kernel thread a signal that is to be seen there with `info` (after restore_info).
long resend_to_this_thread(int signal, const siginfo_t* info);
// Gives a signal that was taken back to the process.
void give_back_to_process(int signal, const siginfo_t* info);

}  // namespace coshim
