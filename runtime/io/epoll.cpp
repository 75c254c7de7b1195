// The epoll back end of the poller.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "runtime/base/sandbox.h"
#include "runtime/base/spin_lock.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/signals.h"
#include "runtime/wait/program_deadline.h"

namespace coshim {

namespace {

constexpr int kBatch = 256;
constexpr uint64_t kWakeMark = ~uint64_t{0}, kSignalMark = kWakeMark - 1, kClockMark = kWakeMark - 2;

std::atomic<int> g_epoll{-1};
std::atomic<int> g_wake{-1};
int g_signals = -1;
constexpr int kNoClock = -1, kClockRefused = -2;
std::atomic<int> g_clock{kNoClock};  // a timer that never expires, but is told when its clock is set
SpinLock g_clock_lock;
std::atomic<uint32_t> g_epoch{1};
std::atomic<bool> g_have_pwait2{true};

long wait_for_events(epoll_event* events, Nanoseconds deadline) {
  if (deadline == 0) return sys::call(SYS_epoll_pwait, g_epoll.load(), events, kBatch, 0, nullptr, 8);
  const sys::KernelSignalSet mask = sys::kAllSignals;
  timespec interval{};
  const timespec* timeout = nullptr;
  if (deadline != kForever) {
    Nanoseconds left = deadline - monotonic_now();
    interval = to_timespec(left > 0 ? left : 0);
    timeout = &interval;
  }
  if (g_have_pwait2.load(std::memory_order_relaxed)) {
    long count = sys::call(SYS_epoll_pwait2, g_epoll.load(), events, kBatch, timeout, &mask, sizeof(mask));
    if (count != -ENOSYS && count != -EPERM) return count;  // an old kernel, or a seccomp filter
    g_have_pwait2.store(false, std::memory_order_relaxed);
  }
  long milliseconds = -1;
  if (timeout != nullptr) {
    milliseconds = interval.tv_sec >= 2000000
                       ? 2000000000L
                       : interval.tv_sec * 1000 + (interval.tv_nsec + 999999) / 1000000;
  }
  return sys::call(SYS_epoll_pwait, g_epoll.load(), events, kBatch, milliseconds, &mask, sizeof(mask));
}

// Said again after each time (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
long arm_clock(int fd) {
  itimerspec never{};
  never.it_value.tv_sec = 9000000000;  // the kernel's clock ends in 2262
  return sys::call(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr);
}

int make_clock() {
  if (noted_seccomp() || under_seccomp()) return kClockRefused;
  long fd = sys::call(SYS_timerfd_create, CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  int hidden = fd < 0 ? -1 : hide_descriptor(static_cast<int>(fd), true);
  if (hidden < 0) return kClockRefused;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = kClockMark;
  if (arm_clock(hidden) == 0 && sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_ADD, hidden, &event) == 0)
    return hidden;
  close_hidden_descriptor(hidden);
  return kClockRefused;
}

}  // namespace

int poller_start() {
  if (g_epoll >= 0) return 0;
  long epoll = sys::call(SYS_epoll_create1, EPOLL_CLOEXEC);
  if (epoll < 0) return static_cast<int>(epoll);
  int hidden_epoll = hide_descriptor(static_cast<int>(epoll), true);
  if (hidden_epoll < 0) return hidden_epoll;
  long wake = sys::call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
  int hidden_wake = wake < 0 ? static_cast<int>(wake) : hide_descriptor(static_cast<int>(wake), true);
  if (hidden_wake < 0) {
    sys::close(hidden_epoll);
    return hidden_wake;
  }
  g_epoll = hidden_epoll;
  g_wake = hidden_wake;
  // Level-triggered, and read by the worker that blocks alone: an edge could be taken by one that only looks.
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeMark;
  return static_cast<int>(sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_ADD, g_wake.load(), &event));
}

int poller_register(int fd, uint32_t generation) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
  event.data.u64 = static_cast<uint64_t>(generation) << 32 | static_cast<uint32_t>(fd);
  long result = sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_ADD, fd, &event);
  // A registration that outlived its descriptor (closed where no hook saw it, the same file opened again):
  // take it over.
  if (result == -EEXIST) result = sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_MOD, fd, &event);
  return static_cast<int>(result);
}

void poller_unregister(int fd) {
  epoll_event event{};
  sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_DEL, fd, &event);
}

uint32_t poller_epoch() {
  return g_epoch.load(std::memory_order_acquire);
}

int poller_collect(Nanoseconds deadline) {
  epoll_event events[kBatch];
  long count = wait_for_events(events, deadline);
  for (long i = 0; i < count; ++i) {
    uint64_t data = events[i].data.u64;
    if (data == kSignalMark) {
      hand_out_signals(false);
    } else if (data == kClockMark) {
      uint64_t expirations;
      sys::call(SYS_read, g_clock.load(), &expirations, sizeof(expirations));  // ECANCELED
      arm_clock(g_clock.load());
      clock_was_set();
    } else if (data == kWakeMark) {
      uint64_t writes;
      if (deadline != 0) sys::call(SYS_read, g_wake.load(), &writes, sizeof(writes));
    } else {
      descriptor_event(static_cast<int>(data & 0xffffffffU), static_cast<uint32_t>(data >> 32),
                       events[i].events);
    }
  }
  return count > 0 ? static_cast<int>(count) : 0;
}

int poller_watch_signals(sys::KernelSignalSet signals) {
  if (g_epoll < 0) return -EBADF;
  long fd = sys::call(SYS_signalfd4, g_signals, &signals, sizeof(signals), SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0 || g_signals >= 0) return fd < 0 ? static_cast<int>(fd) : 0;
  int hidden = hide_descriptor(static_cast<int>(fd), true);
  if (hidden < 0) return hidden;
  g_signals = hidden;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // what nobody accepts stays pending
  event.data.u64 = kSignalMark;
  return static_cast<int>(sys::call(SYS_epoll_ctl, g_epoll.load(), EPOLL_CTL_ADD, g_signals, &event));
}

void poller_watch_clock() {
  if (__builtin_expect(g_clock.load(std::memory_order_acquire) != kNoClock, 1) || g_epoll < 0) return;
  CriticalSection critical;
  SpinGuard guard(g_clock_lock);
  if (g_clock.load() == kNoClock) g_clock.store(make_clock());
}

bool poller_moved(int from, int to) {
  if (from == g_clock.load()) {
    g_clock.store(to);
    return true;
  }
  if (from == g_epoll.load()) {
    g_epoll.store(to);
    return true;
  }
  if (from != g_wake.load()) return false;
  g_wake.store(to);
  return true;
}

void poller_wake() {
  uint64_t one = 1;
  sys::write(g_wake, &one, sizeof(one));
}

void poller_reset_after_fork() {
  if (g_epoll >= 0) sys::close(g_epoll);
  if (g_wake >= 0) sys::close(g_wake);
  if (g_signals >= 0) sys::close(g_signals);
  if (g_clock >= 0) sys::close(g_clock);
  g_clock_lock.reset();
  g_epoll = g_wake = g_signals = g_clock = -1;
  g_epoch.fetch_add(1);
}

}  // namespace coshim
