#include "runtime/thread/directed_timer.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <new>

#include "runtime/base/spin_lock.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/hidden_thread.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

// What the kernel sends to the hidden thread, and nobody else gets.
constexpr int kCarrier = 34;
constexpr size_t kStack = 64 * 1024;
constexpr size_t kBlockBytes = 4096;

// Type-stable: an expiration may be under way when its timer is deleted.
struct DirectedTimer {
  int number = -1;  // -1: free
  int signal = 0;
  int overrun = 0;  // of the last signal that was delivered
  sigval value{};
  Coroutine* target = nullptr;
  uint64_t target_id = 0;
  DirectedTimer* next = nullptr;
};

SpinLock g_lock;
DirectedTimer* g_timers;
std::atomic<pid_t> g_thread{0};
bool g_starting;

// These three under the lock.
DirectedTimer* find(int number) {
  for (DirectedTimer* timer = g_timers; timer != nullptr; timer = timer->next) {
    if (timer->number == number) return timer;
  }
  return nullptr;
}

bool add_timers() {
  long memory =
      sys::call(SYS_mmap, nullptr, kBlockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return false;
  auto* timers = reinterpret_cast<DirectedTimer*>(memory);
  for (size_t i = 0; i < kBlockBytes / sizeof(DirectedTimer); ++i) {
    auto* timer = new (&timers[i]) DirectedTimer;
    timer->next = g_timers;
    g_timers = timer;
  }
  return true;
}

DirectedTimer* free_timer() {
  DirectedTimer* timer = find(-1);
  return timer == nullptr && add_timers() ? find(-1) : timer;
}

void pass_on(const siginfo_t& info) {
  siginfo_t passed = info;
  Coroutine* target = nullptr;
  {
    SpinGuard guard(g_lock);
    const auto* timer = static_cast<const DirectedTimer*>(info.si_value.sival_ptr);
    if (timer->number != info.si_timerid) return;  // deleted meanwhile
    passed.si_signo = timer->signal;
    passed.si_value = timer->value;
    if (timer->target->id == timer->target_id) target = timer->target;
  }
  if (target == nullptr) return;
  CoroutineState state = target->state.load(std::memory_order_acquire);
  if (state == CoroutineState::free || state == CoroutineState::finished) return;
  signal_coroutine(target, passed.si_signo, &passed);
}

void* run(void*) {
  t_local.critical = 1;
  t_local.hidden = true;
  sys::call(SYS_prctl, PR_SET_NAME, "coshim/timers");
  g_thread.store(sys::gettid(), std::memory_order_release);
  sys::futex_wake(&g_thread, 1);
  const sys::KernelSignalSet carrier = sys::signal_bit(kCarrier);
  for (;;) {
    siginfo_t info;
    long signal = sys::call(SYS_rt_sigtimedwait, &carrier, &info, nullptr, sizeof(carrier));
    if (signal == kCarrier && info.si_code == SI_TIMER) pass_on(info);
  }
  return nullptr;
}

// 0: it could not be started.
pid_t hidden_thread() {
  bool start;
  {
    CriticalSection critical;
    SpinGuard guard(g_lock);
    start = !g_starting;
    g_starting = true;
  }
  if (start && start_hidden_thread(&run, nullptr, kernel_thread_stack(kStack)) != 0) g_thread.store(-1);
  for (;;) {
    pid_t thread = g_thread.load(std::memory_order_acquire);
    if (thread > 0) return thread;
    if (thread < 0) break;
    sys::yield();
  }
  CriticalSection critical;
  SpinGuard guard(g_lock);
  g_starting = false;
  g_thread.store(0);
  return 0;
}

}  // namespace

long create_directed_timer(clockid_t clock, const sigevent& event, Coroutine* target, int* number) {
  constexpr int kSignals = 64;
  if (event.sigev_signo < 1 || event.sigev_signo > kSignals) return -EINVAL;
  pid_t thread = hidden_thread();
  if (thread == 0) return -EAGAIN;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  DirectedTimer* timer = free_timer();
  if (timer == nullptr) return -EAGAIN;
  sigevent carried{};
  carried.sigev_notify = SIGEV_THREAD_ID;
  carried._sigev_un._tid = thread;
  carried.sigev_signo = kCarrier;
  carried.sigev_value.sival_ptr = timer;
  long result = sys::call(SYS_timer_create, clock, &carried, &timer->number);
  if (result != 0) {
    timer->number = -1;
    return result;
  }
  timer->signal = event.sigev_signo;
  timer->value = event.sigev_value;
  timer->overrun = 0;
  timer->target = target;
  timer->target_id = target->id;
  *number = timer->number;
  return 0;
}

int directed_timer_overrun(int number) {
  if (g_thread.load(std::memory_order_relaxed) == 0 || number < 0) return -1;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  const DirectedTimer* timer = find(number);
  return timer != nullptr ? timer->overrun : -1;
}

void directed_timer_deleted(int number) {
  if (g_thread.load(std::memory_order_relaxed) == 0 || number < 0) return;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  DirectedTimer* timer = find(number);
  if (timer != nullptr) timer->number = -1;
}

void directed_timer_delivered(int number, int overrun) {
  if (g_thread.load(std::memory_order_relaxed) == 0 || number < 0) return;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  DirectedTimer* timer = find(number);
  if (timer != nullptr) timer->overrun = overrun;
}

void directed_timers_after_fork_in_child() {
  g_lock.reset();
  g_starting = false;
  g_thread.store(0);
  for (DirectedTimer* timer = g_timers; timer != nullptr; timer = timer->next) timer->number = -1;
}

}  // namespace coshim
