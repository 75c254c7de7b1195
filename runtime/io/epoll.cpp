// The epoll back end of the poller.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "runtime/base/spin_lock.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

constexpr int kBatch = 256;
constexpr uint64_t kWakeMark = ~uint64_t{0}, kSignalMark = kWakeMark - 1;

std::atomic<int> g_epoll{-1};
std::atomic<int> g_wake{-1};
int g_signals = -1;
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

bool poller_moved(int from, int to) {
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
  g_epoll = g_wake = g_signals = -1;
  g_epoch.fetch_add(1);
}

}  // namespace coshim
