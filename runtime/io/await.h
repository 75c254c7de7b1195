// Waiting for descriptors (DESIGN §8). The program's own flags are never touched: a call is made so that it does not block
// (MSG_DONTWAIT, RWF_NOWAIT, or poll first), and on EAGAIN the coroutine parks on the descriptor's entry.
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
  stream_socket,     // TCP: a short transfer says that the next attempt would fail
  other_socket,      // MSG_DONTWAIT works
  listening_socket,
  nowait_file,       // pipes, eventfds, ...: RWF_NOWAIT works
  pollable,          // tty, timerfd, inotify, epoll, ...: poll, then call
  always_ready,      // regular files, directories, block devices: epoll refuses them; just call
  bad,               // not open
};
DescriptorKind descriptor_kind(int fd);

// Does the program itself want EAGAIN (O_NONBLOCK set on the open file description)?
bool program_wants_nonblocking(int fd);

// SO_RCVTIMEO or SO_SNDTIMEO as a deadline from now; kForever if none is set. Cached; setsockopt's hook refreshes it.
Nanoseconds descriptor_timeout(int fd, Direction direction);

// Calls attempt(context) until it gives something other than -EAGAIN, parking in between until `fd` is ready in `direction`.
// Returns the attempt's result (a value or -errno); -EAGAIN when `deadline` passed or the program wants non-blocking;
// -EINTR when a signal handler ran (the caller applies SA_RESTART's rules).
// `kind` names the wait in the dump. A coroutine only.
struct AwaitOptions {
  Direction direction = Direction::readable;
  WaitKind wait_kind = WaitKind::readable;
  Nanoseconds deadline = kForever;
  bool check_nonblocking = true;  // give -EAGAIN at once where the program set O_NONBLOCK
};
long await_descriptor_raw(int fd, const AwaitOptions& options, long (*attempt)(void*), void* context);

template <typename Attempt>
inline long await_descriptor(int fd, const AwaitOptions& options, Attempt&& attempt) {
  using Callable = std::remove_reference_t<Attempt>;
  return await_descriptor_raw(
      fd, options, [](void* context) -> long { return (*static_cast<Callable*>(context))(); }, &attempt);
}

// A stream transfer of less than was asked for: the next attempt in this direction would fail unless an event arrives
// first, so it parks without trying. Only for stream_socket. `asked` and `got` in bytes.
void note_short_transfer(int fd, Direction direction);

// poll(2) for coroutines: `check` is called (a real poll/select/epoll_wait with timeout 0, giving > 0, 0 or -errno), and
// as long as it gives 0 the coroutine parks until one of fds[] has an event, `deadline` passes (gives 0) or a signal
// handler ran (-EINTR). Entries with negative fd are ignored.
long await_any_raw(const pollfd* fds, size_t count, Nanoseconds deadline, long (*check)(void*), void* context);
template <typename Check>
inline long await_any(const pollfd* fds, size_t count, Nanoseconds deadline, Check&& check) {
  using Callable = std::remove_reference_t<Check>;
  return await_any_raw(
      fds, count, deadline, [](void* context) -> long { return (*static_cast<Callable*>(context))(); }, &check);
}

}  // namespace coshim
