// Calls for which the kernel has no "don't wait" other than O_NONBLOCK, which others who share the open file
// description would see (contract rule 3): begun through a small io_uring, whose requests never block the
// caller. The ring only begins; the waiting is await_descriptor()'s, as everywhere.
#pragma once

#include <sys/socket.h>

namespace coshim {

// -ENOSYS from each: no ring here (an old kernel, a sysctl or a seccomp filter that forbids it).

// connect(2) on a stream socket. -EINPROGRESS: begun; when the socket is writable, connect(2) once more tells
// how it ended, at once. -EALREADY: had been begun before.
long ring_connect(int fd, const sockaddr* address, socklen_t length);

// accept4(2); -EAGAIN where nobody is there.
long ring_accept(int fd, sockaddr* address, socklen_t* length, int flags);

// The ring's descriptor is known under another number now. False: it is not the ring's.
bool ring_moved(int from, int to);

bool is_own_ring(int fd);

// The child of a fork: forgets its parent's ring.
void ring_reset_after_fork();

}  // namespace coshim
