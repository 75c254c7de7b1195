#include "runtime/sched/cpu_time.h"

#include <string.h>

#include <new>

#include "runtime/base/permanent.h"
#include "runtime/thread/critical.h"

namespace coshim {

std::atomic<CpuAccounting> g_cpu_accounting{CpuAccounting::none};

namespace {

// Behind ru_maxrss, what rusage counts: page faults, switches, ...
constexpr int kCounts = 13;

struct Usage {
  Nanoseconds user, system;
  long counts[kCounts];
};

}  // namespace

// Made at the first switch that is accounted for; stays with the coroutine's record. Written by the kernel
// thread that the coroutine runs on; others read it between two equal, even sequence numbers.
struct CpuAccount {
  std::atomic<uint32_t> sequence{0};
  std::atomic<Worker*> worker{nullptr};  // null: not running, or not seen to begin
  std::atomic<Nanoseconds> used{0};
  std::atomic<Nanoseconds> mark{0};  // the worker's clock when it began
  // The owner's alone.
  bool usage_known = false, usage_running = false;
  Usage usage, usage_mark;
};

namespace {

Nanoseconds thread_clock(clockid_t clock) {
  timespec time{};
  return sys::call(SYS_clock_gettime, clock, &time) == 0 ? to_nanoseconds(time) : 0;
}

Nanoseconds from_ticks(uint64_t ticks) {
  return static_cast<Nanoseconds>(static_cast<double>(ticks) * 1000 /
                                  static_cast<double>(g_ticks_per_microsecond));
}

Nanoseconds from_timeval(const timeval& time) {
  return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL;
}
timeval to_timeval(Nanoseconds time) {
  return {time / 1000000000LL, time % 1000000000LL / 1000};
}

Usage thread_usage() {
  rusage now{};
  sys::call(SYS_getrusage, RUSAGE_THREAD, &now);
  Usage usage{from_timeval(now.ru_utime), from_timeval(now.ru_stime), {}};
  memcpy(usage.counts, &now.ru_ixrss, sizeof(usage.counts));
  return usage;
}
static_assert(sizeof(rusage) - offsetof(rusage, ru_ixrss) == kCounts * sizeof(long));

void add_usage(Usage* total, const Usage& from, const Usage& to) {
  total->user += to.user - from.user;
  total->system += to.system - from.system;
  for (int i = 0; i < kCounts; ++i) total->counts[i] += to.counts[i] - from.counts[i];
}

// `used` is what is known so far. Null when memory ends. Two may make one at the same time: the first counts.
CpuAccount* account_of(Coroutine* coroutine, Nanoseconds used, Worker* worker = nullptr,
                       Nanoseconds mark = 0) {
  CpuAccount* account = coroutine->cpu_account.load(std::memory_order_acquire);
  if (account != nullptr) return account;
  void* memory = permanent_memory(sizeof(CpuAccount));
  if (memory == nullptr) return nullptr;
  auto* made = new (memory) CpuAccount;
  made->used.store(used, std::memory_order_relaxed);
  made->mark.store(mark, std::memory_order_relaxed);
  made->worker.store(worker, std::memory_order_relaxed);
  return coroutine->cpu_account.compare_exchange_strong(account, made, std::memory_order_acq_rel) ? made
                                                                                                  : account;
}

void begin_change(CpuAccount* account) {
  account->sequence.store(account->sequence.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
}
void end_change(CpuAccount* account) {
  account->sequence.store(account->sequence.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// What runs at this moment: began before, so how much of its kernel thread's time was its own is known only
// to be less than all of it.
void begin_with(Worker* worker) {
  Coroutine* current = worker->current.load(std::memory_order_acquire);
  pid_t tid = worker->tid;
  if (current == nullptr || tid == 0) return;
  Nanoseconds clock = thread_clock(cpu_clock_of(tid));
  uint64_t now = tick_counter(), since = current->resumed_at;
  Nanoseconds running = now > since ? from_ticks(now - since) : 0;
  account_of(current, from_ticks(current->run_ticks) + (running < clock ? running : clock), worker, clock);
}

// One that began to run while accounting did may have been seen by neither.
CpuAccount* find_running(const Coroutine* coroutine) {
  CriticalSection critical;
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next) {
    if (worker->current.load(std::memory_order_acquire) == coroutine) begin_with(worker);
  }
  return coroutine->cpu_account.load(std::memory_order_acquire);
}

SpinLock g_begin_lock;

void begin_accounting(CpuAccounting wanted) {
  if (g_cpu_accounting.load(std::memory_order_acquire) >= wanted) return;
  CriticalSection critical;
  SpinGuard guard(g_begin_lock);
  CpuAccounting before = g_cpu_accounting.load(std::memory_order_relaxed);
  if (before < wanted) g_cpu_accounting.store(wanted, std::memory_order_seq_cst);
  if (before != CpuAccounting::none) return;
  for (Worker* worker = g_scheduler.workers.load(); worker != nullptr; worker = worker->next)
    begin_with(worker);
}

void know_usage(CpuAccount* account) {
  if (account->usage_known) return;
  account->usage = Usage{};
  account->usage.user = account->used.load(std::memory_order_relaxed);
  account->usage_known = true;
  account->usage_running = false;
}

}  // namespace

void cpu_leave(Worker* worker, Coroutine* coroutine) {
  Nanoseconds now = thread_clock(CLOCK_THREAD_CPUTIME_ID);
  worker->cpu_clock = now;
  CpuAccount* account = account_of(coroutine, from_ticks(coroutine->run_ticks));
  if (account == nullptr) return;
  if (account->worker.load(std::memory_order_relaxed) == worker) {
    begin_change(account);
    Nanoseconds segment = now - account->mark.load(std::memory_order_relaxed);
    account->used.store(account->used.load(std::memory_order_relaxed) + segment, std::memory_order_relaxed);
    account->worker.store(nullptr, std::memory_order_relaxed);
    end_change(account);
  }
  if (g_cpu_accounting.load(std::memory_order_relaxed) < CpuAccounting::usage) return;
  if (account->usage_running) add_usage(&account->usage, account->usage_mark, thread_usage());
  know_usage(account);
  account->usage_running = false;
}

void cpu_enter(Worker* worker, Coroutine* coroutine) {
  Nanoseconds now = worker->cpu_clock;
  if (now == 0) now = thread_clock(CLOCK_THREAD_CPUTIME_ID);
  worker->cpu_clock = 0;
  CpuAccount* account = account_of(coroutine, from_ticks(coroutine->run_ticks));
  if (account == nullptr) return;
  begin_change(account);
  account->mark.store(now, std::memory_order_relaxed);
  account->worker.store(worker, std::memory_order_relaxed);
  end_change(account);
  if (g_cpu_accounting.load(std::memory_order_relaxed) < CpuAccounting::usage) return;
  know_usage(account);
  account->usage_mark = thread_usage();
  account->usage_running = true;
}

Nanoseconds cpu_time_of(Coroutine* coroutine) {
  begin_accounting(CpuAccounting::time);
  CpuAccount* account = coroutine->cpu_account.load(std::memory_order_acquire);
  if (account == nullptr) account = find_running(coroutine);
  if (account == nullptr) return from_ticks(coroutine->run_ticks);
  for (int tries = 0;; ++tries) {
    if (tries > 100) sys::yield();
    uint32_t sequence = account->sequence.load(std::memory_order_acquire);
    if (sequence % 2 != 0) continue;
    Nanoseconds used = account->used.load(std::memory_order_relaxed);
    Worker* worker = account->worker.load(std::memory_order_relaxed);
    if (worker != nullptr && worker->current.load(std::memory_order_relaxed) == coroutine) {
      bool own = coroutine == t_local.coroutine;
      Nanoseconds now = thread_clock(own ? CLOCK_THREAD_CPUTIME_ID : cpu_clock_of(worker->tid));
      Nanoseconds running = now - account->mark.load(std::memory_order_relaxed);
      if (running > 0) used += running;
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (account->sequence.load(std::memory_order_relaxed) == sequence) return used;
  }
}

void cpu_usage_of(Coroutine* self, rusage* usage) {
  begin_accounting(CpuAccounting::usage);
  Nanoseconds used = cpu_time_of(self);
  CriticalSection critical;
  sys::call(SYS_getrusage, RUSAGE_THREAD, usage);  // for ru_maxrss, which is the process's
  CpuAccount* account = self->cpu_account.load(std::memory_order_acquire);
  if (account == nullptr) return;
  Usage now = thread_usage();
  if (account->usage_running) {
    add_usage(&account->usage, account->usage_mark, now);
  } else {
    know_usage(account);
    account->usage.user = used;
  }
  account->usage_mark = now;
  account->usage_running = true;
  usage->ru_utime = to_timeval(account->usage.user);
  usage->ru_stime = to_timeval(account->usage.system);
  memcpy(&usage->ru_ixrss, account->usage.counts, sizeof(account->usage.counts));
  usage->ru_nvcsw += static_cast<long>(self->switches);  // natively each wait is one
}

void cpu_accounting_reset_after_fork() {
  g_begin_lock.reset();
  g_cpu_accounting.store(CpuAccounting::none);
}

void cpu_reset(Coroutine* coroutine) {
  CpuAccount* account = coroutine->cpu_account.load(std::memory_order_relaxed);
  if (account == nullptr) return;
  begin_change(account);
  account->used.store(0, std::memory_order_relaxed);
  account->worker.store(nullptr, std::memory_order_relaxed);
  end_change(account);
  account->usage_known = account->usage_running = false;
}

}  // namespace coshim
