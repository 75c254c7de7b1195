#include "runtime/io/connect.h"

#include <netinet/in.h>

#include "runtime/io/await.h"
#include "runtime/sched/blocking.h"

namespace coshim {

namespace {

bool is_loopback(const sockaddr* address, socklen_t length) {
  if (address == nullptr || length < sizeof(sockaddr_in) || address->sa_family != AF_INET) return false;
  return (ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24) == 127;
}

}  // namespace

// Only a stream connection waits for its peer. The kernel has no flag for "don't wait" on connect(2) other
// than O_NONBLOCK, which others would see; so it waits on this kernel thread, and the others go on.
long connect_descriptor(int fd, const sockaddr* address, socklen_t length, Nanoseconds) {
  bool slow = descriptor_kind(fd) == DescriptorKind::stream_socket && !is_loopback(address, length) &&
              !program_wants_nonblocking(fd);
  BlockingRegion region("connect", slow);
  return sys::call(SYS_connect, fd, address, length);
}

}  // namespace coshim
