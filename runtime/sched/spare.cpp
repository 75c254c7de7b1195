// Where workers come from: spares that wait for a processor, new kernel threads, and, when neither memory nor
// threads are to be had any more, a few whose memory was put by at the start. Where even those are used up,
// a processor's coroutines go to those that have a worker.
#include <sys/mman.h>
#include <sys/prctl.h>

#include <new>

#include "runtime/base/log.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/thread_ties.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/hidden_thread.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kWorkerStack = 128 * 1024;
constexpr size_t kAlternateStack = 64 * 1024;  // the overflow report runs there
constexpr int kSparesKept = 4;
// Of what would block for ever natively a process has few; hogs beyond these wait for each other.
constexpr int kReserved = 8;
constexpr Nanoseconds kPauseAfterFailure = 5000000;
// A shortage that lasts. A short one says nothing: clone(2) answers EAGAIN too while another thread is in
// execve(2), and all of this is then about to end.
constexpr Nanoseconds kShortage = 1000000000;

SpinLock g_spare_lock;
Worker* g_spares;
int g_spare_count;
// Records of workers that ended, for reuse: the list of all workers only grows.
Worker* g_unused_records;

char* g_reserve;  // memory for the stacks of kReserved workers
std::atomic<int> g_reserve_used{0};
std::atomic<Nanoseconds> g_next_try{0};
std::atomic<Nanoseconds> g_short_since{0};  // 0: the last try succeeded

char* map_pages(size_t size) {
  long result =
      sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<char*>(result);
}

size_t stack_size() {
  return kernel_thread_stack(kWorkerStack + kAlternateStack);
}

Worker* new_worker_record() {
  {
    SpinGuard guard(g_spare_lock);
    if (g_unused_records != nullptr) {
      Worker* worker = g_unused_records;
      g_unused_records = worker->next_spare;
      return worker;
    }
  }
  void* memory = map_pages(sizeof(Worker));
  if (memory == nullptr) return nullptr;
  auto* worker = new (memory) Worker;
  worker->index = g_scheduler.worker_count.fetch_add(1) + 1;
  worker->next = g_scheduler.workers.load();
  while (!g_scheduler.workers.compare_exchange_weak(worker->next, worker)) {
  }
  return worker;
}

void give_back_record(Worker* worker) {
  SpinGuard guard(g_spare_lock);
  worker->next_spare = g_unused_records;
  g_unused_records = worker;
}

void* worker_main(void* argument) {
  // In its own stack: one mapping less to be had, and given back with it.
  alignas(64) char alternate_stack[kAlternateStack];
  auto* worker = static_cast<Worker*>(argument);
  t_local.critical = 1;  // always: on its own stack a worker is in the runtime
  t_local.worker = worker;
  worker->asked_to_freeze.store(false, std::memory_order_relaxed);
  worker->tid = sys::gettid();
  uint64_t live = g_scheduler.live_workers.fetch_add(1, std::memory_order_relaxed) + 1;
  if (live > g_scheduler.peak_workers.load(std::memory_order_relaxed)) g_scheduler.peak_workers.store(live);
  worker->fs_base = current_fs_base();
  worker->kernel_mask = sys::kAllSignals;
  char name[16];
  format_text(name, sizeof(name), "coshim/%d", worker->index);
  sys::call(SYS_prctl, PR_SET_NAME, name);
  worker->alternate_stack = stack_t{};
  worker->alternate_stack.ss_sp = alternate_stack;
  worker->alternate_stack.ss_size = kAlternateStack;
  sys::call(SYS_sigaltstack, &worker->alternate_stack, nullptr);
  worker_loop(worker);
  return nullptr;
}

int start_kernel_thread(Worker* worker, char* stack) {
  return start_hidden_thread(&worker_main, worker, stack_size(), stack);
}

// With the spare lock held.
void add_spare(Worker* worker) {
  worker->next_spare = g_spares;
  g_spares = worker;
  ++g_spare_count;
}

// Those that have been spare for longest: the list's end.
Worker* take_surplus() {
  SpinGuard guard(g_spare_lock);
  Worker** link = &g_spares;
  for (int i = 0; i < kSparesKept && *link != nullptr; ++i) link = &(*link)->next_spare;
  Worker* surplus = nullptr;
  while (Worker* worker = *link) {
    if (worker->stays) {
      link = &worker->next_spare;
      continue;
    }
    *link = worker->next_spare;
    worker->next_spare = surplus;
    surplus = worker;
    --g_spare_count;
  }
  return surplus;
}

// One of those never ends, as nobody would know when its stack is free.
bool start_on_reserve(Worker* worker) {
  if (g_reserve == nullptr) return false;
  int index = g_reserve_used.fetch_add(1, std::memory_order_relaxed);
  if (index < kReserved) {
    worker->stays = true;
    if (start_kernel_thread(worker, g_reserve + static_cast<size_t>(index) * stack_size()) == 0) return true;
    worker->stays = false;
  }
  g_reserve_used.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

void note_failure() {
  static std::atomic<bool> told{false};
  Nanoseconds now = monotonic_now(), since = 0;
  g_next_try.store(now + kPauseAfterFailure, std::memory_order_relaxed);
  if (g_short_since.compare_exchange_strong(since, now) || now - since < kShortage) return;
  if (!told.exchange(true)) COSHIM_LOG(warn, "no kernel thread for a worker; trying again now and then");
}

bool spawn_worker(Processor* processor) {
  // It would inherit what it must not (own_thread.h): the monitor makes it.
  if (t_local.worker != nullptr && t_local.worker->ends) return false;
  if (monotonic_now() < g_next_try.load(std::memory_order_relaxed)) return false;
  Worker* worker = new_worker_record();
  if (worker != nullptr) {
    worker->processor = processor;
    worker->stays = worker->ends = worker->dismissed = false;
    worker->sleep_state.store(kAwake);
    {
      SpinGuard guard(processor->lock);
      processor->owner = worker;
    }
    if (start_kernel_thread(worker, nullptr) == 0 || start_on_reserve(worker)) {
      g_short_since.store(0);
      return true;
    }
    give_back_record(worker);
  }
  note_failure();
  return false;
}

Processor* find_served(const Processor* except) {
  for (int i = 0; i < g_scheduler.processor_count; ++i) {
    Processor* processor = &g_scheduler.processors[i];
    Worker* owner = processor->owner;
    if (processor != except && owner != nullptr && owner != kBinding) return processor;
  }
  return nullptr;
}

// The processor lies idle, and what it had to do is another one's. Where there is none the monitor tries
// again.
void leave_without_worker(Processor* processor) {
  Processor* other = find_served(processor);
  RunQueue left;
  {
    SpinGuard guard(processor->lock);
    processor->owner = nullptr;
    if (other == nullptr) {
      if (g_scheduler.monitor_asleep.load(std::memory_order_seq_cst)) monitor_wake();
      return;
    }
    while (Coroutine* coroutine = processor->queue.pop()) left.push(coroutine);
    processor->idle = true;
    g_scheduler.running.fetch_sub(1, std::memory_order_seq_cst);
  }
  while (Coroutine* coroutine = left.pop()) push_runnable(other, coroutine);
  // Somebody has to look at descriptors and timers, who thought that this one would.
  if (g_scheduler.running.load(std::memory_order_seq_cst) == 0) kick_idle_processor(processor);
}

// Its thread returns: pthread_exit() would load libgcc_s into a program that may never need it, nor have the
// memory for it.
void end_worker(Worker* worker) {
  worker->tid = 0;
  g_scheduler.live_workers.fetch_sub(1, std::memory_order_relaxed);
  give_back_record(worker);
}

}  // namespace

bool workers_start() {
  g_next_try.store(0);
  g_short_since.store(0);
  g_reserve = map_pages(kReserved * stack_size());
  Processor* first = &g_scheduler.processors[0];
  {
    // The monitor runs already: a processor that is not idle and nobody's would get a worker from it too.
    SpinGuard guard(first->lock);
    first->owner = kBinding;
    first->idle = false;  // the worker's first look makes it idle
    g_scheduler.running.fetch_add(1, std::memory_order_seq_cst);
  }
  if (spawn_worker(first)) return true;
  SpinGuard guard(first->lock);
  first->owner = nullptr;
  first->idle = true;
  g_scheduler.running.fetch_sub(1, std::memory_order_seq_cst);
  return false;
}

void bind_worker(Processor* processor) {
  Worker* spare;
  {
    SpinGuard guard(g_spare_lock);
    spare = g_spares;
    if (spare != nullptr) {
      g_spares = spare->next_spare;
      --g_spare_count;
    }
  }
  if (spare == nullptr) {
    if (!spawn_worker(processor)) leave_without_worker(processor);
    return;
  }
  spare->processor = processor;
  {
    SpinGuard guard(processor->lock);
    processor->owner = spare;
  }
  wake_worker(spare);
}

bool enlist_spare(Worker* worker) {
  if (worker->ends) {
    end_worker(worker);
    return false;
  }
  SpinGuard guard(g_spare_lock);
  worker->sleep_state.store(kSleepsOnFutex, std::memory_order_seq_cst);
  add_spare(worker);
  return true;
}

bool dismissed(Worker* worker) {
  if (!worker->dismissed) return false;
  end_worker(worker);
  return true;
}

void dismiss_spares() {
  if (g_spare_count <= kSparesKept) return;
  // First they are nobody's, then it is asked: so nothing is begun on them in between.
  Worker* surplus = take_surplus();
  const bool keep = surplus != nullptr && threads_may_be_tied();
  while (surplus != nullptr) {
    Worker* worker = surplus;
    surplus = worker->next_spare;
    if (keep) {
      SpinGuard guard(g_spare_lock);
      add_spare(worker);
    } else {
      worker->dismissed = true;
      wake_worker(worker);
    }
  }
}

void workers_reset_after_fork() {
  g_spare_lock.reset();
  g_spares = nullptr;
  g_spare_count = 0;
  g_unused_records = nullptr;
  g_reserve = nullptr;  // the child may stand on it
  g_reserve_used.store(0);
  g_scheduler.workers.store(nullptr);
  g_scheduler.worker_count.store(0);
  g_scheduler.live_workers.store(0);
}

}  // namespace coshim
