// What every hook that moves bytes shares: wait for one transfer, or for all of a blocking send.
#pragma once

#include "preload/cancel.h"
#include "preload/hook.h"
#include "runtime/io/await.h"
#include "runtime/sched/blocking.h"

namespace coshim {

inline bool is_socket(DescriptorKind kind) {
  return kind == DescriptorKind::stream_socket || kind == DescriptorKind::other_socket ||
         kind == DescriptorKind::listening_socket;
}

// Is `fd` ready for `events` (or in error, which the call itself then tells)?
inline bool ready_now(int fd, short events) {
  pollfd descriptor{fd, events, 0};
  timespec none{};
  return sys::call(SYS_ppoll, &descriptor, 1, &none, nullptr, sizeof(sys::KernelSignalSet)) != 0;
}

// An await that lets signal handlers run and then goes on or gives -EINTR: with a timeout of the socket's
// own, never restarted (signal(7)).
template <typename Attempt>
long await_restarting(int fd, const AwaitOptions& options, Attempt&& attempt) {
  for (;;) {
    long result = await_descriptor(fd, options, attempt);
    if (__builtin_expect(result >= 0, 1)) return result;
    // Also one that came after the call had begun, if nothing was transferred.
    cancellation_point();
    if (result != -EINTR) return result;
    if (!restart_after_signal() || options.deadline != kForever) return -EINTR;
  }
}

inline AwaitOptions send_options(int fd) {
  AwaitOptions options;
  options.direction = Direction::writable;
  options.wait_kind = WaitKind::writable;
  options.deadline = descriptor_timeout(fd, Direction::writable);
  return options;
}

// A call in a region that is glibc's own, since a raw one is no cancellation point: the result or -errno.
template <typename Call>
long cancellable(Call&& call) {
  int saved = errno;
  long result = call();
  if (result >= 0) return result;
  long error = -errno;
  errno = saved;
  return error;
}

// A blocking write is over when all is written, or with a partial count when it can't go on (send(2),
// write(2), pipe(7)). part(fd, done) makes one attempt that does not block.
template <typename Part>
long transfer_all(int fd, AwaitOptions options, size_t total, Part&& part) {
  size_t done = 0;
  do {
    options.wanted = total - done;
    long result = done == 0 ? await_restarting(fd, options, [&](int current) { return part(current, done); })
                            : await_descriptor(fd, options, [&](int current) { return part(current, done); });
    if (result < 0) return done > 0 ? static_cast<long>(done) : result;
    done += static_cast<size_t>(result);
    if (result == 0) break;
  } while (done < total && !program_wants_nonblocking(fd));
  return static_cast<long>(done);
}

// Sums up; -EINVAL as readv(2) gives it.
inline long vector_length(const iovec* vector, int count) {
  if (count < 0 || count > 1024) return -EINVAL;
  size_t total = 0;
  for (int i = 0; i < count; ++i) {
    total += vector[i].iov_len;
    if (total > SSIZE_MAX) return -EINVAL;
  }
  return static_cast<long>(total);
}

// The element of `vector` in which byte `done` stands: *rest is what is left of it. For going on after a
// partial transfer.
inline iovec vector_at(const iovec* vector, size_t done) {
  while (done >= vector->iov_len) done -= (vector++)->iov_len;
  return iovec{static_cast<char*>(vector->iov_base) + done, vector->iov_len - done};
}

// In socket.cpp: read and write on sockets.
ssize_t receive_into(int fd, void* buffer, size_t length, int flags, sockaddr* address,
                     socklen_t* address_length);
ssize_t receive_message(int fd, msghdr* message, int flags);
ssize_t send_from(int fd, const void* buffer, size_t length, int flags, const sockaddr* address,
                  socklen_t address_length);
ssize_t send_message(int fd, const msghdr* message, int flags);

}  // namespace coshim
