// connect(2) that parks, without touching O_NONBLOCK.
#pragma once

#include <sys/socket.h>

#include "runtime/base/clock.h"

namespace coshim {

// A value or -errno. `deadline`: SO_SNDTIMEO's end; then -EINPROGRESS, and the connection goes on. A
// coroutine only.
long connect_descriptor(int fd, const sockaddr* address, socklen_t length, Nanoseconds deadline);

}  // namespace coshim
