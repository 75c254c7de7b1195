// connect: only a TCP connection waits for its peer.
#include <netinet/in.h>
#include <sys/socket.h>

#include "preload/transfer.h"
#include "preload/user_memory.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/ring.h"

namespace coshim {

namespace {

bool is_loopback(const sockaddr* address, socklen_t length) {
  if (length < sizeof(sockaddr_in) || !readable(address) || address->sa_family != AF_INET) return false;
  return (ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24) == 127;
}

// A connection that was begun: how it ended, or -EAGAIN. When it is over, connect(2) again says so, at once;
// but where another thread's shutdown(2) has put the socket back to its beginning (hung up, and no longer
// shut down), it would begin anew.
long connection_end(int fd, const sockaddr* address, socklen_t length) {
  pollfd state{fd, POLLOUT | POLLRDHUP, 0};
  timespec none{};
  if (sys::call(SYS_ppoll, &state, 1, &none, nullptr, sizeof(sys::KernelSignalSet)) == 0) return -EAGAIN;
  if ((state.revents & (POLLHUP | POLLRDHUP)) == POLLHUP) {
    int error = 0;
    socklen_t size = sizeof(error);
    sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error != 0 ? -error : -ECONNABORTED;
  }
  BlockingRegion region("connect", false);
  long result = sys::call(SYS_connect, fd, address, length);
  return result == -EISCONN ? 0 : result;  // seen by another one, who connects the same socket
}

// Only a TCP connection waits for its peer: begun without waiting, and once the socket is writable,
// connect(2) again tells how it ended. With SO_SNDTIMEO over, -EINPROGRESS, and the connection goes on
// (socket(7)).
long connect_waiting(int fd, const sockaddr* address, socklen_t length) {
  bool waits = descriptor_kind(fd) == DescriptorKind::stream_socket && !program_wants_nonblocking(fd);
  long begun = waits ? ring_connect(fd, address, length) : -ENOSYS;
  if (begun == -ENOSYS) {
    BlockingRegion region("connect", waits && !is_loopback(address, length));
    int calls = 0;
    const Nanoseconds deadline = descriptor_timeout(fd, Direction::writable);
    long result = region.repeat([&]() -> long {
      if (calls++ > 0 && deadline != kForever && monotonic_now() >= deadline)
        return waits ? -EINPROGRESS : -EAGAIN;
      return cancellable([&] { return real::connect(fd, address, length); });
    });
    return result == -EISCONN && calls > 1 ? 0 : result;  // it came about meanwhile
  }
  if (begun != -EINPROGRESS && begun != -EALREADY) return begun;
  AwaitOptions options = send_options(fd);
  options.wait_kind = WaitKind::connecting;
  options.check_nonblocking = false;
  long result =
      await_restarting(fd, options, [&](int current) { return connection_end(current, address, length); });
  return result == -EAGAIN ? begun : result;
}

}  // namespace

HOOK(int, connect, (int fd, const sockaddr* address, socklen_t length)) {
  if (!in_coroutine()) {
    int result = real::connect(fd, address, length);
    descriptor_attributes_changed(fd);
    return result;
  }
  cancellation_point();
  long result = connect_waiting(fd, address, length);
  descriptor_attributes_changed(fd);
  return return_errno<int>(result);
}

}  // namespace coshim
