// poll, select, epoll_wait: the real call with timeout 0 says what is ready; while it says nothing, park on
// the descriptors. None of them is ever restarted after a signal handler (signal(7)).
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/cancel.h"
#include "preload/hook.h"
#include "preload/user_memory.h"
#include "runtime/io/await.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {

constexpr size_t kMaskSize = sizeof(sys::KernelSignalSet);

Nanoseconds deadline_of(const timespec* timeout) {
  return timeout == nullptr ? kForever : deadline_after(to_nanoseconds(*timeout));
}
Nanoseconds deadline_of_milliseconds(int timeout) {
  return timeout < 0 ? kForever : deadline_after(static_cast<Nanoseconds>(timeout) * 1000000);
}

// Not one that the kernel accepts, or can read.
bool is_bad(const timespec* timeout) {
  return timeout != nullptr && (!readable(timeout) || timeout->tv_sec < 0 || !valid_timespec(*timeout));
}

template <typename Check>
int wait_for_any(const pollfd* fds, size_t count, Nanoseconds deadline, Check&& check) {
  cancellation_point();
  for (;;) {
    long result = await_any(fds, count, deadline, check);
    if (result != -EINTR) return return_errno<int>(result);
    cancellation_point();
    if (after_interrupt() == AfterInterrupt::handler) return return_errno<int>(result);
  }
}

long poll_now(pollfd* fds, nfds_t count) {
  timespec none{};
  return undisturbed([&] { return sys::call(SYS_ppoll, fds, count, &none, nullptr, kMaskSize); });
}

int poll_until(pollfd* fds, nfds_t count, Nanoseconds deadline) {
  return wait_for_any(fds, count, deadline, [&] { return poll_now(fds, count); });
}

int epoll_until(int fd, epoll_event* events, int maximum, Nanoseconds deadline) {
  pollfd descriptor{fd, POLLIN, 0};
  return wait_for_any(&descriptor, 1, deadline,
                      [&] { return sys::call(SYS_epoll_pwait, fd, events, maximum, 0, nullptr, kMaskSize); });
}

// With a mask, which the real call swaps in atomically. What is pending for the coroutine alone must be
// pending in the kernel then.
template <typename Call>
int wait_with_mask(const char* name, const sigset_t* mask, Nanoseconds deadline, Call&& call) {
  cancellation_point();
  // An unreadable mask is EFAULT, which a call with a wrong `how` tells (rt_sigprocmask(2)).
  if (sys::call(SYS_rt_sigprocmask, -1, mask, nullptr, kMaskSize) == -EFAULT)
    return return_errno<int>(-EFAULT);
  sys::KernelSignalSet kernel_mask;
  memcpy(&kernel_mask, mask, sizeof(kernel_mask));
  const uint32_t handlers_before = t_local.handlers_run;
  const SuspendedMasks before = begin_signal_suspend(kernel_mask & sys::kAllSignals);
  int result;
  do {
    timespec left = to_timespec(deadline == kForever ? 0 : deadline - monotonic_now());
    BlockingRegion region(name);
    result = call(deadline == kForever ? nullptr : &left);
    // Interrupted for another coroutine's sake: no handler ran here.
  } while (result < 0 && errno == EINTR && t_local.handlers_run == handlers_before);
  int error = errno;
  end_signal_suspend(before);
  errno = error;
  return result;
}

// Is the mask the one that the coroutine has anyway? Then nothing is to be swapped.
bool is_own_mask(const sigset_t* mask) {
  sys::KernelSignalSet kernel_mask;
  if (sys::call(SYS_rt_sigprocmask, -1, mask, nullptr, kMaskSize) == -EFAULT) return false;
  memcpy(&kernel_mask, mask, sizeof(kernel_mask));
  constexpr sys::KernelSignalSet kNever = sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP);
  return ((kernel_mask ^ t_local.coroutine->signal_mask) & sys::kAllSignals & ~kNever) == 0;
}

// Also false for a negative count. The kernel reads whole words up to the highest descriptor (select(2),
// BUGS).
bool readable_sets(int count, fd_set* const* sets) {
  if (count < 0) return false;
  const size_t size = (static_cast<size_t>(count) + 63) / 64 * sizeof(long);
  for (int set = 0; set < 3; ++set) {
    if (sets[set] != nullptr && !readable(sets[set], size)) return false;
  }
  return true;
}

// select's three sets, kept aside since every look overwrites the program's, and the same as a poll array.
class SelectWait {
  static constexpr short kEvents[3] = {POLLIN, POLLOUT, POLLPRI};

 public:
  SelectWait(int count, fd_set* const* sets)
      : count_(count), sets_(sets), words_((static_cast<size_t>(count) + 63) / 64) {
    size_t bits = 0;
    for (int set = 0; set < 3; ++set) {
      for (size_t i = 0; sets[set] != nullptr && i < words_; ++i) {
        bits += static_cast<size_t>(__builtin_popcountl(word(set, i)));
      }
    }
    size_t needed = 3 * words_ * sizeof(long) + bits * sizeof(pollfd);
    memory_ = small_;
    if (needed > sizeof(small_)) {
      mapped_ = (needed + 4095) / 4096 * 4096;
      long address =
          sys::call(SYS_mmap, nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      memory_ = address < 0 && address > -4096 ? nullptr : reinterpret_cast<char*>(address);
      if (memory_ == nullptr) return;
    }
    saved_ = reinterpret_cast<long*>(memory_);
    fds_ = reinterpret_cast<pollfd*>(saved_ + 3 * words_);
    fill();
  }
  ~SelectWait() {
    if (mapped_ != 0 && memory_ != nullptr) sys::call(SYS_munmap, memory_, mapped_);
  }
  SelectWait(const SelectWait&) = delete;
  SelectWait& operator=(const SelectWait&) = delete;

  bool ok() const { return memory_ != nullptr; }
  const pollfd* fds() const { return fds_; }
  size_t fd_count() const { return fd_count_; }
  void restore() {
    for (int set = 0; set < 3; ++set) {
      for (size_t i = 0; sets_[set] != nullptr && i < words_; ++i) {
        reinterpret_cast<long*>(sets_[set])[i] = saved_[static_cast<size_t>(set) * words_ + i];
      }
    }
  }
  long look() {
    const bool first = !looked_;
    if (!first) restore();
    looked_ = true;
    long result = select_now();
    return result == -EBADF && !first ? look_without_closed() : result;
  }

 private:
  long select_now() {
    timespec none{};
    return undisturbed(
        [&] { return sys::call(SYS_pselect6, count_, sets_[0], sets_[1], sets_[2], &none, nullptr); });
  }
  // A number that another thread has closed since the call began counts as ready, in each set that it is in.
  long look_without_closed() {
    long result;
    do {
      restore();
      for (size_t i = 0; i < fd_count_; ++i) {
        bool closed = sys::call(SYS_fcntl, fds_[i].fd, F_GETFD) == -EBADF;
        fds_[i].revents = closed ? POLLNVAL : 0;
        if (closed) bits_of(fds_[i]) &= ~bit_of(fds_[i]);
      }
      result = select_now();
    } while (result == -EBADF);
    for (size_t i = 0; i < fd_count_ && result >= 0; ++i) {
      if (fds_[i].revents == 0) continue;
      bits_of(fds_[i]) |= bit_of(fds_[i]);
      ++result;
    }
    return result;
  }
  unsigned long& bits_of(const pollfd& one) {
    const int set = one.events == kEvents[0] ? 0 : one.events == kEvents[1] ? 1 : 2;
    return reinterpret_cast<unsigned long*>(sets_[set])[one.fd / 64];
  }
  static unsigned long bit_of(const pollfd& one) { return 1UL << (one.fd % 64); }
  unsigned long word(int set, size_t index) const {
    return reinterpret_cast<const unsigned long*>(sets_[set])[index];
  }
  void fill() {
    for (int set = 0; set < 3; ++set) {
      for (size_t i = 0; sets_[set] != nullptr && i < words_; ++i) {
        unsigned long bits = word(set, i);
        saved_[static_cast<size_t>(set) * words_ + i] = static_cast<long>(bits);
        for (; bits != 0; bits &= bits - 1) {
          int fd = static_cast<int>(i * 64) + __builtin_ctzl(bits);
          if (fd < count_) fds_[fd_count_++] = pollfd{fd, kEvents[set], 0};
        }
      }
    }
  }

  int count_;
  fd_set* const* sets_;
  size_t words_;
  char* memory_ = nullptr;
  size_t mapped_ = 0;
  long* saved_ = nullptr;
  pollfd* fds_ = nullptr;
  size_t fd_count_ = 0;
  bool looked_ = false;
  alignas(8) char small_[1024];
};

int select_until(int count, fd_set* const* sets, Nanoseconds deadline) {
  SelectWait wait(count, sets);
  if (!wait.ok()) {
    errno = ENOMEM;
    return -1;
  }
  int result = wait_for_any(wait.fds(), wait.fd_count(), deadline, [&] { return wait.look(); });
  if (result < 0 && errno != EFAULT) wait.restore();  // on error the sets are unmodified (select(2))
  return result;
}

}  // namespace

HOOK(int, poll, (pollfd * fds, nfds_t count, int timeout)) {
  if (!in_coroutine()) return real::poll(fds, count, timeout);
  if (timeout == 0) {
    cancellation_point();
    return return_errno<int>(poll_now(fds, count));
  }
  return poll_until(fds, count, deadline_of_milliseconds(timeout));
}

HOOK(int, __poll_chk, (pollfd * fds, nfds_t count, int timeout, size_t room)) {
  if (room / sizeof(pollfd) < count) return real::__poll_chk(fds, count, timeout, room);
  return hook_poll(fds, count, timeout);
}

// With a mask: the real call swaps it atomically.
HOOK(int, ppoll, (pollfd * fds, nfds_t count, const timespec* timeout, const sigset_t* mask)) {
  if (!in_coroutine() || is_bad(timeout)) return real::ppoll(fds, count, timeout, mask);
  if (mask != nullptr && !is_own_mask(mask)) {
    return wait_with_mask("ppoll", mask, deadline_of(timeout),
                          [&](const timespec* left) { return real::ppoll(fds, count, left, mask); });
  }
  return poll_until(fds, count, deadline_of(timeout));
}

HOOK(int, __ppoll_chk,
     (pollfd * fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t room)) {
  if (room / sizeof(pollfd) < count) return real::__ppoll_chk(fds, count, timeout, mask, room);
  return hook_ppoll(fds, count, timeout, mask);
}

// Linux gives the time that is left back in *timeout (select(2)).
HOOK(int, select, (int count, fd_set* reads, fd_set* writes, fd_set* exceptions, timeval* timeout)) {
  count = within_program_table(count);
  fd_set* sets[3] = {reads, writes, exceptions};
  bool bad = timeout != nullptr && (!readable(timeout) || timeout->tv_sec < 0 || timeout->tv_usec < 0);
  if (!in_coroutine() || bad || !readable_sets(count, sets))
    return real::select(count, reads, writes, exceptions, timeout);
  Nanoseconds deadline = kForever;
  if (timeout != nullptr) {
    Nanoseconds interval = to_nanoseconds(timespec{timeout->tv_sec, 0});
    if (__builtin_add_overflow(interval, static_cast<Nanoseconds>(timeout->tv_usec) * 1000, &interval))
      interval = kForever;
    deadline = deadline_after(interval);
  }
  int result = select_until(count, sets, deadline);
  if (timeout != nullptr && deadline != kForever) {
    timespec left = to_timespec(deadline - monotonic_now());
    timeout->tv_sec = left.tv_sec;
    timeout->tv_usec = left.tv_nsec / 1000;
  }
  return result;
}

HOOK(int, pselect,
     (int count, fd_set* reads, fd_set* writes, fd_set* exceptions, const timespec* timeout,
      const sigset_t* mask)) {
  count = within_program_table(count);
  fd_set* sets[3] = {reads, writes, exceptions};
  if (!in_coroutine() || is_bad(timeout) || !readable_sets(count, sets))
    return real::pselect(count, reads, writes, exceptions, timeout, mask);
  if (mask != nullptr && !is_own_mask(mask)) {
    return wait_with_mask("pselect", mask, deadline_of(timeout), [&](const timespec* left) {
      return real::pselect(count, reads, writes, exceptions, left, mask);
    });
  }
  return select_until(count, sets, deadline_of(timeout));
}

HOOK(int, epoll_wait, (int fd, epoll_event* events, int maximum, int timeout)) {
  if (!in_coroutine() || timeout == 0) return real::epoll_wait(fd, events, maximum, timeout);
  return epoll_until(fd, events, maximum, deadline_of_milliseconds(timeout));
}

HOOK(int, epoll_pwait, (int fd, epoll_event* events, int maximum, int timeout, const sigset_t* mask)) {
  if (mask == nullptr) return hook_epoll_wait(fd, events, maximum, timeout);
  if (!in_coroutine() || timeout == 0) return real::epoll_pwait(fd, events, maximum, timeout, mask);
  if (is_own_mask(mask)) return hook_epoll_wait(fd, events, maximum, timeout);
  return wait_with_mask("epoll_pwait", mask, deadline_of_milliseconds(timeout), [&](const timespec* left) {
    return real::epoll_pwait2(fd, events, maximum, left, mask);
  });
}

HOOK(int, epoll_pwait2,
     (int fd, epoll_event* events, int maximum, const timespec* timeout, const sigset_t* mask)) {
  if (!in_coroutine() || is_bad(timeout)) return real::epoll_pwait2(fd, events, maximum, timeout, mask);
  if (mask != nullptr && !is_own_mask(mask)) {
    return wait_with_mask("epoll_pwait2", mask, deadline_of(timeout), [&](const timespec* left) {
      return real::epoll_pwait2(fd, events, maximum, left, mask);
    });
  }
  return epoll_until(fd, events, maximum, deadline_of(timeout));
}

}  // namespace coshim
