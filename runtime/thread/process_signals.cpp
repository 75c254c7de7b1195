// Signals for the whole process that no kernel thread accepts at the moment, while a parked coroutine would
// (DESIGN §9).
#include <errno.h>

#include "runtime/base/log.h"
#include "runtime/io/poller.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signal_state.h"

namespace coshim {

std::atomic<sys::KernelSignalSet> g_watched_signals{0};

namespace {

Coroutine* one_that_accepts(int signal) {
  struct Search {
    sys::KernelSignalSet bit;
    Coroutine* found;
  } search{sys::signal_bit(signal), nullptr};
  for_each_coroutine(
      [](Coroutine* coroutine, void* context) {
        auto* wanted = static_cast<Search*>(context);
        CoroutineState state = coroutine->state.load(std::memory_order_acquire);
        bool alive = state == CoroutineState::parked || state == CoroutineState::runnable;
        if (wanted->found == nullptr && alive && (coroutine->signal_mask & wanted->bit) == 0)
          wanted->found = coroutine;
      },
      &search);
  return search.found;
}

// What has no handler acts on the process, but only when a kernel thread takes it.
void let_default_act(int signal) {
  sys::KernelSignalSet bit = sys::signal_bit(signal);
  sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal);
  sys::set_signal_mask(SIG_UNBLOCK, &bit, nullptr);
  sys::set_signal_mask(SIG_BLOCK, &bit, nullptr);
}

bool hand_out(int signal, const siginfo_t* info) {
  Coroutine* target = one_that_accepts(signal);
  if (target == nullptr) return false;
  if (is_handler(action_of(signal))) {
    signal_coroutine(target, signal, info);
  } else {
    let_default_act(signal);
  }
  return true;
}

}  // namespace

void watch_signals(sys::KernelSignalSet signals) {
  // Faults are never for the process as a whole.
  constexpr int kNever[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, 32, 33};
  for (int signal : kNever) signals &= ~sys::signal_bit(signal);
  sys::KernelSignalSet before = g_watched_signals.fetch_or(signals);
  if ((signals & ~before) == 0) return;
  // From the caller's return on, a signal that it has blocked must find no worker that only happens to accept
  // it.
  wait_until_workers_block_watched_signals();
  CriticalSection critical;
  int error = poller_watch_signals(before | signals);
  if (error != 0)
    COSHIM_LOG(warn, "signals that main blocks may come late: no descriptor for them (error %d)", -error);
}

void forget_watched_signals() {
  g_watched_signals.store(0);
}

void hand_out_signals(bool take_all) {
  sys::KernelSignalSet pending = 0;
  sys::call(SYS_rt_sigpending, &pending, sizeof(pending));
  const timespec at_once{0, 0};
  while (pending != 0) {
    int signal = __builtin_ctzll(pending) + 1;
    sys::KernelSignalSet bit = sys::signal_bit(signal);
    siginfo_t info;
    // What nobody accepts stays where it is: given back, it would come at once again.
    if (!take_all && one_that_accepts(signal) == nullptr) {
      pending &= ~bit;
      continue;
    }
    if (sys::call(SYS_rt_sigtimedwait, &bit, &info, &at_once, sizeof(bit)) != signal) {
      pending &= ~bit;
      continue;
    }
    if (is_attention(&info)) continue;  // for a coroutine that has moved on, and will look itself
    restore_info(&info);
    if (hand_out(signal, &info)) continue;
    pending &= ~bit;
    give_back_to_process(signal, &info);
  }
}

}  // namespace coshim
