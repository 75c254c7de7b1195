// Masks, what is pending for one coroutine, and how it gets there.
//
// A signal sent to a coroutine is a bit in pending_signals, and a record with its value where there is one or
// where it counts (real-time signals queue, signal(7)). Whoever sends it marks the target's thread-local
// words, so that the target looks when it next leaves the runtime, wakes it if it is parked, and if it runs
// sends its kernel thread an attention: the same signal, marked, so that a handler starts between any two
// instructions as natively. An attention that finds another coroutine is dropped.
#include <errno.h>
#include <sys/mman.h>

#include "runtime/sched/places.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/directed_timer.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signal_state.h"
#include "runtime/thread/tcb.h"
#include "runtime/wait/parker.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

struct QueuedSignal {
  QueuedSignal* next;
  int signal, code;
  pid_t sender;
  uid_t user;
  sigval value;
};

namespace {

constexpr size_t kPoolBytes = size_t{64} * 1024;
const char g_attention_mark = 0;
QueuedSignal* g_free_records;  // guarded by g_signal_lock

bool add_records() {
  long memory =
      sys::call(SYS_mmap, nullptr, kPoolBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return false;
  auto* records = reinterpret_cast<QueuedSignal*>(memory);
  for (size_t i = 0; i < kPoolBytes / sizeof(QueuedSignal); ++i) {
    records[i].next = g_free_records;
    g_free_records = &records[i];
  }
  return true;
}

// Under the lock. A timer's signal is pending once: what comes then is an overrun (timer_getoverrun(2)).
bool counts_as_overrun(Coroutine* target, int signal, const siginfo_t& info) {
  if (info.si_code != SI_TIMER) return false;
  for (QueuedSignal* record = target->queued_signals; record != nullptr; record = record->next) {
    if (record->signal != signal || record->code != SI_TIMER || record->sender != info.si_timerid) continue;
    record->user += static_cast<uid_t>(info.si_overrun) + 1;
    return true;
  }
  return false;
}

// Under the lock. False: no memory.
bool enqueue(Coroutine* target, int signal, const siginfo_t& info) {
  if (g_free_records == nullptr && !add_records()) return false;
  QueuedSignal* record = g_free_records;
  g_free_records = record->next;
  *record = {nullptr, signal, info.si_code, info.si_pid, info.si_uid, info.si_value};
  QueuedSignal** end = &target->queued_signals;
  while (*end != nullptr) end = &(*end)->next;
  *end = record;
  return true;
}

siginfo_t sent_by_thread(int signal) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_TKILL;
  info.si_pid = sys::getpid();
  info.si_uid = static_cast<uid_t>(sys::call(SYS_getuid));
  return info;
}

// Under the lock: the oldest record of `signal`, taken off; *more tells whether there is another.
bool dequeue(Coroutine* self, int signal, siginfo_t* info, bool* more) {
  bool found = false;
  *more = false;
  for (QueuedSignal** place = &self->queued_signals; *place != nullptr;) {
    QueuedSignal* record = *place;
    if (record->signal != signal) {
      place = &record->next;
    } else if (found) {
      *more = true;
      return true;
    } else {
      found = true;
      info->si_code = record->code;
      info->si_pid = record->sender;
      info->si_uid = record->user;
      info->si_value = record->value;
      if (record->code == SI_TIMER) directed_timer_delivered(record->sender, static_cast<int>(record->user));
      *place = record->next;
      record->next = g_free_records;
      g_free_records = record;
    }
  }
  return found;
}

long send_attention(pid_t tid, int signal) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = kAttentionCode;
  info.si_value.sival_ptr = const_cast<char*>(&g_attention_mark);
  return sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), tid, signal, &info);
}

// Under the lock.
void send_attention_if_running(Coroutine* target, int signal) {
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->current.load(std::memory_order_acquire) != target || worker->tid == 0) continue;
    send_attention(worker->tid, signal);
    target->attention_left = target->in_signal_wait;
    return;
  }
}

bool has_deliverable(const Coroutine* self) {
  return (self->pending_signals.load(std::memory_order_acquire) & ~self->signal_mask) != 0;
}

// Fatal, stopping, ignored: what has no handler concerns the whole process.
int act_on_process(int signal, const KernelAction& action) {
  if (action.handler == reinterpret_cast<void*>(SIG_IGN)) return 0;
  return static_cast<int>(-sys::call(SYS_kill, sys::getpid(), signal));
}

}  // namespace

bool is_attention(const siginfo_t* info) {
  return info->si_code == kAttentionCode && info->si_value.sival_ptr == &g_attention_mark;
}

long resend_to_this_thread(int signal, const siginfo_t* info) {
  siginfo_t copy = *info;
  if (copy.si_code != kResentCode && copy.si_code != kAttentionCode) {
    copy.si_errno = copy.si_code;
    copy.si_code = kResentCode;
  }
  return sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal, &copy);
}

void restore_info(siginfo_t* info) {
  if (info->si_code != kResentCode) return;
  info->si_code = info->si_errno;
  info->si_errno = 0;
}

void give_back_to_process(int signal, const siginfo_t* info) {
  if (info->si_code < 0 && info->si_code != SI_TKILL) {
    sys::call(SYS_rt_sigqueueinfo, sys::getpid(), signal, info);
  } else {
    sys::call(SYS_kill, sys::getpid(), signal);
  }
}

int signal_coroutine(Coroutine* target, int signal, const siginfo_t* given) {
  if (signal < 0 || signal > kSignals || signal == 32 || signal == 33) return EINVAL;
  if (signal == 0) return 0;
  const siginfo_t info = given != nullptr ? *given : sent_by_thread(signal);
  const sys::KernelSignalSet bit = sys::signal_bit(signal);
  CriticalSection critical;
  {
    SpinGuard guard(g_signal_lock);
    bool blocked = (target->signal_mask & bit) != 0;
    if (!blocked && !is_handler(g_actions[signal]) && !target->in_signal_wait)
      return act_on_process(signal, g_actions[signal]);
    bool counts = signal >= kFirstRealTime;
    bool was_pending = (target->pending_signals.load(std::memory_order_relaxed) & bit) != 0;
    if (was_pending && counts_as_overrun(target, signal, info)) return 0;
    if (counts || (given != nullptr && !was_pending)) {
      if (!enqueue(target, signal, info)) return EAGAIN;
    }
    target->pending_signals.fetch_or(bit, std::memory_order_acq_rel);
    if (blocked && !target->in_signal_wait) return 0;
    if (!blocked) target->interrupts.fetch_or(kInterruptSignal, std::memory_order_acq_rel);
    tcb_thread_local(target->fs_base)->signals_deferred = true;
    // Either the target, just resumed, sees the mark when it leaves the runtime, or we see it running.
    sys::call(SYS_membarrier, 1 << 3 /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */, 0, 0);
    send_attention_if_running(target, signal);
    if (blocked) return 0;
  }
  unpark(target);
  return 0;
}

void keep_write_signal(int error) {
  Coroutine* self = t_local.coroutine;
  const int signal = error == EPIPE ? SIGPIPE : SIGXFSZ;
  const sys::KernelSignalSet bit = sys::signal_bit(signal);
  if (self == nullptr || t_local.handler_depth > 0 || (self->signal_mask & bit) == 0) return;
  const timespec at_once{0, 0};
  siginfo_t info;
  // What is pending for the thread comes before what is pending for the process.
  if (sys::call(SYS_rt_sigtimedwait, &bit, &info, &at_once, sizeof(bit)) == signal) {
    signal_coroutine(self, signal, &info);
  }
}

int signal_itself(int signal) {
  Coroutine* self = t_local.coroutine;
  if (signal >= 1 && signal <= kSignals && (self->signal_mask & sys::signal_bit(signal)) != 0) {
    return signal_coroutine(self, signal);
  }
  return static_cast<int>(-sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), signal));
}

int take_pending_signal(sys::KernelSignalSet set, siginfo_t* info) {
  Coroutine* self = t_local.coroutine;
  if ((self->pending_signals.load(std::memory_order_acquire) & set) == 0) return 0;
  CriticalSection critical;
  SpinGuard guard(g_signal_lock);
  uint64_t ready = self->pending_signals.load(std::memory_order_acquire) & set;
  if (ready == 0) return 0;
  int signal = __builtin_ctzll(ready) + 1;
  *info = sent_by_thread(signal);
  bool more;
  dequeue(self, signal, info, &more);
  if (!more) self->pending_signals.fetch_and(~sys::signal_bit(signal), std::memory_order_acq_rel);
  return signal;
}

void discard_pending_signals(Coroutine* coroutine) {
  coroutine->pending_signals.store(0, std::memory_order_relaxed);
  coroutine->in_signal_wait = coroutine->attention_left = false;
  if (coroutine->queued_signals == nullptr) return;
  CriticalSection critical;
  SpinGuard guard(g_signal_lock);
  while (QueuedSignal* record = coroutine->queued_signals) {
    coroutine->queued_signals = record->next;
    record->next = g_free_records;
    g_free_records = record;
  }
}

void run_pending_handlers() {
  Coroutine* self = t_local.coroutine;
  siginfo_t info;
  while (uint64_t ready = self->pending_signals.load(std::memory_order_acquire) & ~self->signal_mask) {
    int signal = __builtin_ctzll(ready) + 1;
    KernelAction action = action_of(signal);
    if (is_handler(action)) {
      // An attention, and not the signal itself: the kernel would drop that where the sender's attention is
      // on its way. Delivered before the call returns, since the worker's mask is this coroutine's.
      uint32_t before = t_local.handlers_run;
      send_attention(sys::gettid(), signal);
      if (t_local.handlers_run != before) continue;
      if ((self->pending_signals.load(std::memory_order_acquire) & ready) != ready) continue;
      t_local.signals_deferred = true;  // could not come here: at the next chance
      return;
    }
    signal = take_pending_signal(sys::signal_bit(signal), &info);
    if (signal == 0) continue;
    if (!is_fault_signal(signal) || action.handler != reinterpret_cast<void*>(SIG_DFL))
      act_on_process(signal, action);
    if (is_fault_signal(signal)) resend_to_this_thread(signal, &info);
  }
}

void deliver_deferred_signals() {
  ThreadLocal& local = t_local;
  Coroutine* self = local.coroutine;
  if (self == nullptr || local.handler_depth > 0) {
    local.signals_deferred = false;
    if (!local.mask_deferred) return;
    local.mask_deferred = false;
    sys::set_signal_mask(SIG_SETMASK, &local.deferred_mask, nullptr);
    return;
  }
  Worker* worker = local.worker;
  if (self->interruptible && (worker->signals_deferred || has_deliverable(self))) {
    uint32_t before = self->interrupts.fetch_or(kInterruptSignal, std::memory_order_acq_rel);
    if ((before & kInterruptSignal) == 0) unpark(self);  // the wait ends; then they come
    return;
  }
  local.signals_deferred = false;
  if (worker->signals_deferred || local.mask_deferred) {
    worker->signals_deferred = false;
    local.mask_deferred = false;
    worker->kernel_mask = self->signal_mask;
    sys::set_signal_mask(SIG_SETMASK, &self->signal_mask, nullptr);
  }
  if (has_deliverable(self)) run_pending_handlers();
}

long change_coroutine_mask(int how, const sys::KernelSignalSet* set, sys::KernelSignalSet* old) {
  Coroutine* self = t_local.coroutine;
  sys::KernelSignalSet before = 0, wanted = set != nullptr ? *set & sys::kAllSignals : 0;
  if (t_local.handler_depth > 0) {  // until the handler returns
    long result = sys::set_signal_mask(how, set != nullptr ? &wanted : nullptr, &before);
    if (result == 0 && old != nullptr) *old = before;
    return result;
  }
  {
    CriticalSection critical;
    before = self->signal_mask;
    if (set != nullptr) {
      if (how == SIG_BLOCK) {
        wanted |= before;
      } else if (how == SIG_UNBLOCK) {
        wanted = before & ~wanted;
      } else if (how != SIG_SETMASK) {
        return -EINVAL;
      }
      wanted &= ~(sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP));
      {
        SpinGuard guard(g_signal_lock);
        self->signal_mask = wanted;
      }
      t_local.worker->kernel_mask = wanted;
      sys::set_signal_mask(SIG_SETMASK, &wanted, nullptr);
    }
  }
  if (old != nullptr) *old = before;
  if (has_deliverable(self)) run_pending_handlers();
  return 0;
}

void expect_mask(sys::KernelSignalSet mask) {
  Coroutine* self = t_local.coroutine;
  CriticalSection critical;
  // What libc saved is the kernel's mask, in which those are never blocked.
  mask = (mask & sys::kAllSignals) | (self->signal_mask & sys::g_never_blocked);
  if (mask == self->signal_mask) return;
  uint64_t ready;
  {
    SpinGuard guard(g_signal_lock);
    self->signal_mask = mask;
    ready = self->pending_signals.load(std::memory_order_acquire) & ~mask;
  }
  t_local.worker->kernel_mask = mask;
  // They come the moment that the mask is set.
  for (; ready != 0; ready &= ready - 1) send_attention(sys::gettid(), __builtin_ctzll(ready) + 1);
}

void begin_signal_wait() {
  CriticalSection critical;
  SpinGuard guard(g_signal_lock);
  t_local.coroutine->in_signal_wait = true;
}

// Attentions that were not needed must not stay behind for the next coroutine on this kernel thread: it may
// have the signal unblocked and no handler for it.
void end_signal_wait() {
  Coroutine* self = t_local.coroutine;
  CriticalSection critical;
  {
    SpinGuard guard(g_signal_lock);
    self->in_signal_wait = false;
    if (!self->attention_left) return;
    self->attention_left = false;
  }
  sys::KernelSignalSet pending = 0;
  sys::call(SYS_rt_sigpending, &pending, sizeof(pending));
  const timespec at_once{0, 0};
  siginfo_t info;
  while (pending != 0) {
    int signal = __builtin_ctzll(pending) + 1;
    sys::KernelSignalSet bit = sys::signal_bit(signal);
    pending &= ~bit;
    long taken = sys::call(SYS_rt_sigtimedwait, &bit, &info, &at_once, sizeof(bit));
    if (taken != signal) continue;
    if (is_attention(&info)) {
      pending |= bit;  // real-time signals queue
    } else {
      restore_info(&info);
      give_back_to_process(signal, &info);
    }
  }
}

SuspendedMasks begin_signal_suspend(sys::KernelSignalSet mask) {
  Coroutine* self = t_local.coroutine;
  CriticalSection critical;
  sys::KernelSignalSet all = sys::kAllSignals;
  SuspendedMasks before{0, t_local.worker->kernel_mask};
  t_local.worker->kernel_mask = all;
  sys::set_signal_mask(SIG_SETMASK, &all, &before.kernel);
  SpinGuard guard(g_signal_lock);
  self->in_signal_wait = true;
  uint64_t ready = self->pending_signals.load(std::memory_order_acquire) & ~mask;
  self->attention_left = ready != 0;
  for (; ready != 0; ready &= ready - 1) send_attention(sys::gettid(), __builtin_ctzll(ready) + 1);
  return before;
}

void end_signal_suspend(const SuspendedMasks& before) {
  end_signal_wait();
  Coroutine* self = t_local.coroutine;
  const bool in_handler = t_local.handler_depth > 0;
  {
    CriticalSection critical;
    const SuspendedMasks now = in_handler ? before : SuspendedMasks{self->signal_mask, self->signal_mask};
    t_local.worker->kernel_mask = now.recorded;
    sys::set_signal_mask(SIG_SETMASK, &now.kernel, nullptr);
  }
  if (in_handler) return;
  if (has_deliverable(self)) run_pending_handlers();
}

void send_cancel_signal(Coroutine* target) {
  CriticalSection critical;
  target->cancel_signal_due.store(true, std::memory_order_seq_cst);
  target->interrupts.fetch_or(kInterruptCancel, std::memory_order_acq_rel);
  unpark(target);
  sys::call(SYS_membarrier, 1 << 3 /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */, 0, 0);
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->current.load(std::memory_order_acquire) != target || worker->tid == 0) continue;
    sys::call(SYS_tgkill, sys::getpid(), worker->tid, kCancelSignal);
    return;
  }
}

void send_due_cancel_signal(Coroutine* self) {
  if (self->cancel_signal_due.load(std::memory_order_acquire))
    sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), kCancelSignal);
}

}  // namespace coshim
