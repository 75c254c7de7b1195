// Waiting for descriptors (DESIGN §8). The program's own flags are never touched: a call is made so that it
// does not block (MSG_DONTWAIT, RWF_NOWAIT, or poll first), and on EAGAIN the coroutine parks on the
// descriptor's entry.
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <type_traits>

#include "runtime/thread/thread.h"

namespace coshim {

enum class Direction : uint8_t { readable, writable };

// What a descriptor turned out to be, learned at its first use in a coroutine.
enum class DescriptorKind : uint8_t {
  unknown,
  stream_socket,  // TCP: a short transfer says that the next attempt would fail
  other_socket,   // MSG_DONTWAIT works
  listening_socket,
  nowait_file,   // pipes, eventfds, ...: RWF_NOWAIT works
  pollable,      // tty, timerfd, inotify, epoll, ...: poll, then call
  always_ready,  // regular files, directories, block devices: epoll refuses them; just call
  bad,           // not open
};
DescriptorKind descriptor_kind(int fd);

// Does the program itself want EAGAIN (O_NONBLOCK set on the open file description)?
bool program_wants_nonblocking(int fd);

// SO_RCVTIMEO or SO_SNDTIMEO as a deadline from now; kForever if none is set. Cached; setsockopt's hook
// refreshes it.
Nanoseconds descriptor_timeout(int fd, Direction direction);

// Calls attempt(context, fd) until it gives something other than -EAGAIN, parking in between until the
// descriptor is ready in `direction`. The attempt must use the number that it is given: a descriptor that
// another thread closes meanwhile lives on under a hidden number for those who wait on it, as natively the
// open file does. Returns the attempt's result (a value or -errno); -EAGAIN when `deadline` passed or the
// program wants non-blocking; -EINTR when the thread has an interrupt (signal or cancellation; the caller
// applies SA_RESTART's rules). A coroutine only.
struct AwaitOptions {
  Direction direction = Direction::readable;
  WaitKind wait_kind = WaitKind::readable;
  Nanoseconds deadline = kForever;
  bool check_nonblocking = true;  // give -EAGAIN at once where the program set O_NONBLOCK
  // Bytes asked for. On a stream_socket a transfer of less says that the next attempt in this direction would
  // fail unless an event arrives first, and saves that attempt. 0: don't conclude anything.
  size_t wanted = 0;
};
using Attempt = long (*)(void* context, int fd);
long await_descriptor_raw(int fd, const AwaitOptions& options, Attempt attempt, void* context);

template <typename Callable>
inline long await_descriptor(int fd, const AwaitOptions& options, Callable&& attempt) {
  using Plain = std::remove_reference_t<Callable>;
  return await_descriptor_raw(
      fd, options,
      [](void* context, int current) -> long {
        if constexpr (std::is_invocable_v<Plain, int>) {
          return (*static_cast<Plain*>(context))(current);
        } else {
          return (*static_cast<Plain*>(context))();
        }
      },
      &attempt);
}

// poll(2) for coroutines: `check` is called (a real poll/select/epoll_wait with timeout 0, giving > 0, 0 or
// -errno), and as long as it gives 0 the coroutine parks until one of fds[] has an event, `deadline` passes
// (gives 0) or a signal handler ran (-EINTR). Entries with negative fd are ignored.
long await_any_raw(const pollfd* fds, size_t count, Nanoseconds deadline, long (*check)(void*),
                   void* context);
template <typename Check>
inline long await_any(const pollfd* fds, size_t count, Nanoseconds deadline, Check&& check) {
  using Callable = std::remove_reference_t<Check>;
  return await_any_raw(
      fds, count, deadline, [](void* context) -> long { return (*static_cast<Callable*>(context))(); },
      &check);
}

}  // namespace coshim
