// pthread_once, call_once and, through libgcc's gthr layer, std::call_once. Ours, on glibc's own states,
// since glibc's waiters would sleep inside libc: 0 untouched; fork generation | 1 while the routine runs; 2
// done. A routine that was running in another thread when the process forked will never end in the child: its
// generation is an old one, and the child starts over.
//
// A routine that is left by an exception, pthread_exit or cancellation puts the state back to 0, and the next
// thread runs it again. We have no exceptions, and must not: a personality routine of libgcc would call the
// unwinder that is linked into us with a context of the program's unwinder. So the one frame that matters has
// a personality of its own that needs no help from the unwinder.
#include <limits.h>
#include <unwind.h>

#include "preload/hook.h"
#include "preload/sync.h"
#include "runtime/sched/blocking.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {

constexpr int kInProgress = 1, kDone = 2;

// The routines that this thread is inside of, innermost first: how the personality knows whose frame is
// unwound.
struct RunningOnce {
  int* control;
  RunningOnce* outer;
};
thread_local RunningOnce* t_running __attribute__((tls_model("initial-exec")));

int load_state(const int* control) {
  return __atomic_load_n(control, __ATOMIC_ACQUIRE);
}

void end_running(int* control, int state) {
  t_running = t_running->outer;
  __atomic_exchange_n(control, state, __ATOMIC_SEQ_CST);
  lot_wake(control, INT_MAX);
  sys::futex_wake(control, INT_MAX);  // who waits inside libc, because it got its pthread_once past us
}

// glibc's fork generation is hidden; it shows while a routine of a real pthread_once runs.
thread_local int* t_probe __attribute__((tls_model("initial-exec")));
thread_local int t_probed __attribute__((tls_model("initial-exec")));
void look_at_probe() {
  t_probed = load_state(t_probe);
}

int running_state() {
  pthread_once_t probe = PTHREAD_ONCE_INIT;
  t_probe = &probe;
  real::pthread_once(&probe, &look_at_probe);
  return t_probed;
}

bool is_running(int state, int running) {
  return state == running;
}

// True when the routine is done; false: look again.
bool wait_for_other(int* control, int running) {
  if (in_signal_handler()) {
    BlockingRegion region("pthread_once");
    doze();
    return (load_state(control) & kDone) != 0;
  }
  LotWaiter waiter(control, WaitKind::once);
  waiter.enqueue();
  if (is_running(load_state(control), running)) {
    waiter.wait(kForever);
  } else {
    waiter.leave();
  }
  return (load_state(control) & kDone) != 0;
}

}  // namespace

// The Itanium C++ ABI's personality routine. In the search phase there is nothing to catch; in the cleanup
// phase, which _Unwind_ForcedUnwind has too, the frame is about to go.
extern "C" __attribute__((visibility("hidden"), used)) _Unwind_Reason_Code coshim_once_personality(
    int, _Unwind_Action actions, _Unwind_Exception_Class, _Unwind_Exception*, _Unwind_Context*) {
  if ((actions & _UA_CLEANUP_PHASE) != 0) end_running(t_running->control, 0);
  return _URC_CONTINUE_UNWIND;
}

namespace {

__attribute__((noinline)) void run_routine(int* control, void (*routine)()) {
  // For this function's frame: a pointer, relative to itself, in 4 bytes (DW_EH_PE_pcrel | DW_EH_PE_sdata4).
  __asm__ volatile(".cfi_personality 0x1b, coshim_once_personality");
  RunningOnce frame{control, t_running};
  t_running = &frame;
  routine();
  end_running(control, kDone);
}

__attribute__((noinline)) int run_once_slowly(int* control, void (*routine)()) {
  int running = running_state();
  for (;;) {
    int state = load_state(control);
    if ((state & kDone) != 0) return 0;
    if (is_running(state, running)) {
      if (wait_for_other(control, running)) return 0;
    } else if (__atomic_compare_exchange_n(control, &state, running, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_ACQUIRE)) {
      run_routine(control, routine);
      return 0;
    }
  }
}

int run_once(int* control, void (*routine)()) {
  if (__builtin_expect((load_state(control) & kDone) != 0, 1)) return 0;
  return run_once_slowly(control, routine);
}

}  // namespace

HOOK(int, pthread_once, (pthread_once_t * control, void (*routine)())) {
  return run_once(control, routine);
}

HOOK(void, call_once, (once_flag * flag, void (*routine)())) {
  run_once(reinterpret_cast<int*>(flag), routine);
}

bool once_layout_ok() {
  int running = running_state();
  pthread_once_t done = PTHREAD_ONCE_INIT;
  real::pthread_once(&done, &look_at_probe);
  return (running & (kInProgress | kDone)) == kInProgress && done == kDone &&
         sizeof(once_flag) == sizeof(int);
}

}  // namespace coshim
