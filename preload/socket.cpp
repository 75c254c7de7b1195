// Sockets: the attempt is made with MSG_DONTWAIT, so the open file description keeps its flags (contract rule
// 3).
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include "preload/transfer.h"
#include "preload/user_memory.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/ring.h"

namespace coshim {

namespace {

constexpr int kNeverWaits = MSG_DONTWAIT | MSG_ERRQUEUE | MSG_OOB;

// A socket of this program has had SO_RCVLOWAT.
std::atomic<bool> g_low_water_used{false};

// Does a receive wait for more than one byte (SO_RCVLOWAT, socket(7))? MSG_DONTWAIT gives what there is, and
// the poller sees no edge for less than that: the kernel itself waits.
bool waits_for_more(int fd) {
  if (__builtin_expect(!g_low_water_used.load(std::memory_order_relaxed), 1)) return false;
  int bytes = 1;
  socklen_t length = sizeof(bytes);
  return sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &length) == 0 && bytes > 1;
}

AwaitOptions receive_options(int fd, size_t wanted, int flags) {
  AwaitOptions options;
  options.deadline = descriptor_timeout(fd, Direction::readable);
  // A short answer tells nothing of the next attempt where these change what is taken.
  options.wanted = (flags & (MSG_PEEK | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE)) != 0 ? 0 : wanted;
  return options;
}

// Has the socket an error that the next call would take with it? A call that has moved bytes already returns
// their number, and leaves the error to the next one.
bool has_error(int fd) {
  pollfd state{fd, 0, 0};
  timespec none{};
  return sys::call(SYS_ppoll, &state, 1, &none, nullptr, sizeof(sys::KernelSignalSet)) == 1 &&
         (state.revents & POLLERR) != 0;
}
bool only_error_left(int fd) {
  int waiting = 0;
  return has_error(fd) && sys::call(SYS_ioctl, fd, FIONREAD, &waiting) == 0 && waiting == 0;
}

// MSG_WAITALL on a stream: until full, end of file, error, timeout or a signal (recv(2)).
long receive_all(int fd, char* buffer, size_t length, int flags) {
  AwaitOptions options = receive_options(fd, 0, flags);
  size_t done = 0;
  do {
    long result = await_restarting(fd, options, [&](int current) -> long {
      if (done > 0 && only_error_left(current)) return 0;
      return sys::call(SYS_recvfrom, current, buffer + done, length - done, flags | MSG_DONTWAIT, nullptr,
                       nullptr);
    });
    if (result < 0) return done > 0 ? static_cast<long>(done) : result;
    done += static_cast<size_t>(result);
    if (result == 0 || program_wants_nonblocking(fd)) break;
  } while (done < length);
  return static_cast<long>(done);
}

// Descriptors that came with a message (SCM_RIGHTS, unix(7)) are new here.
void learn_passed_descriptors(const msghdr* message) {
  for (cmsghdr* header = CMSG_FIRSTHDR(message); header != nullptr;
       header = CMSG_NXTHDR(const_cast<msghdr*>(message), header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const int* fds = reinterpret_cast<const int*>(CMSG_DATA(header));
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) descriptor_opened(fds[i]);
  }
}

bool is_stream(int fd) {
  int type = 0;
  socklen_t length = sizeof(type);
  return sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

// What is accepted is of the listener's protocol, which is asked once a listener.
int learn_accepted(int listener, int fd) {
  if (fd < 0 || !g_descriptors_active.load(std::memory_order_relaxed)) return fd;
  DescriptorEntry* entry = descriptor_entry(listener);
  bool tcp = entry != nullptr && entry->accepts == 1;
  descriptor_opened(fd, tcp ? DescriptorKind::stream_socket : DescriptorKind::unknown, true);
  if (entry != nullptr && entry->accepts == 0) {
    entry->accepts = descriptor_kind(fd) == DescriptorKind::stream_socket ? 1 : 2;
  }
  return fd;
}

// accept(2) has no flag for "don't wait": poll, then call. On a listener that other processes have too, one
// of them may take the connection in between: there through the ring, or, without one, this kernel thread
// waits.
long accept_at_once(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (!ready_now(fd, POLLIN)) return -EAGAIN;
  long result = descriptor_is_shared(fd) ? ring_accept(fd, address, length, flags) : -ENOSYS;
  if (result != -ENOSYS) return result;
  BlockingRegion region("accept", false);
  return region.repeat(
      [&] { return cancellable([&] { return real::accept4(fd, address, length, flags); }); });
}

int accept_connection(int fd, sockaddr* address, socklen_t* length, int flags) {
  cancellation_point();
  if (descriptor_kind(fd) != DescriptorKind::listening_socket) {  // an error, at once
    return learn_accepted(fd, return_errno<int>(sys::call(SYS_accept4, fd, address, length, flags)));
  }
  AwaitOptions options;
  options.wait_kind = WaitKind::accepting;
  options.deadline = descriptor_timeout(fd, Direction::readable);
  long result = await_restarting(
      fd, options, [&](int current) { return accept_at_once(current, address, length, flags); });
  return learn_accepted(fd, return_errno<int>(result));
}

}  // namespace

// MSG_WAITALL on a stream, or SO_RCVLOWAT. A frame of its own: every parked reader keeps receive_into()'s.
__attribute__((noinline)) static ssize_t receive_whole(int fd, void* buffer, size_t length, int flags,
                                                       sockaddr* address, socklen_t* address_length) {
  if ((flags & (MSG_PEEK | MSG_WAITALL)) == MSG_WAITALL)
    return return_errno<ssize_t>(receive_all(fd, static_cast<char*>(buffer), length, flags));
  BlockingRegion region("recv");
  return return_errno<ssize_t>(region.repeat([&] {
    return cancellable([&] { return real::recvfrom(fd, buffer, length, flags, address, address_length); });
  }));
}

ssize_t receive_into(int fd, void* buffer, size_t length, int flags, sockaddr* address,
                     socklen_t* address_length) {
  cancellation_point();
  auto attempt = [&](int current, int how) {
    return sys::call(SYS_recvfrom, current, buffer, length, how, address, address_length);
  };
  if ((flags & kNeverWaits) != 0) return return_errno<ssize_t>(attempt(fd, flags));
  if (((flags & MSG_WAITALL) != 0 && is_stream(fd)) || waits_for_more(fd))
    return receive_whole(fd, buffer, length, flags, address, address_length);
  return return_errno<ssize_t>(await_restarting(fd, receive_options(fd, length, flags), [&](int current) {
    return attempt(current, flags | MSG_DONTWAIT);
  }));
}

ssize_t receive_message(int fd, msghdr* message, int flags) {
  cancellation_point();
  long result;
  if ((flags & kNeverWaits) != 0) {
    result = sys::call(SYS_recvmsg, fd, message, flags);
  } else if (((flags & MSG_WAITALL) != 0 && is_stream(fd)) || waits_for_more(fd)) {
    BlockingRegion region("recvmsg");
    result = region.repeat([&] { return cancellable([&] { return real::recvmsg(fd, message, flags); }); });
  } else {
    // A failed attempt leaves the lengths in the header alone (EAGAIN comes before anything is stored).
    result = await_restarting(fd, receive_options(fd, 0, flags), [&](int current) {
      return sys::call(SYS_recvmsg, current, message, flags | MSG_DONTWAIT);
    });
  }
  if (result >= 0 && message->msg_controllen != 0) learn_passed_descriptors(message);
  return return_errno<ssize_t>(result);
}

ssize_t send_from(int fd, const void* buffer, size_t length, int flags, const sockaddr* address,
                  socklen_t address_length) {
  cancellation_point();
  if ((flags & MSG_DONTWAIT) != 0) {
    return return_errno<ssize_t>(sys::call(SYS_sendto, fd, buffer, length, flags, address, address_length));
  }
  return return_errno<ssize_t>(
      transfer_all(fd, send_options(fd), length, [&](int current, size_t done) -> long {
        if (done > 0 && has_error(current)) return -EPIPE;
        int how = flags | MSG_DONTWAIT | (done > 0 ? MSG_NOSIGNAL : 0);
        return sys::call(SYS_sendto, current, static_cast<const char*>(buffer) + done, length - done, how,
                         address, address_length);
      }));
}

ssize_t send_message(int fd, const msghdr* message, int flags) {
  cancellation_point();
  bool there = readable(message) && readable_array(message->msg_iov, message->msg_iovlen);
  if ((flags & MSG_DONTWAIT) != 0 || !there)
    return return_errno<ssize_t>(sys::call(SYS_sendmsg, fd, message, flags));
  long total = vector_length(message->msg_iov, static_cast<int>(message->msg_iovlen));
  if (total < 0) return return_errno<ssize_t>(sys::call(SYS_sendmsg, fd, message, flags | MSG_DONTWAIT));
  return return_errno<ssize_t>(
      transfer_all(fd, send_options(fd), static_cast<size_t>(total), [&](int current, size_t done) -> long {
        if (done == 0) return sys::call(SYS_sendmsg, current, message, flags | MSG_DONTWAIT);
        if (has_error(current)) return -EPIPE;
        iovec rest = vector_at(message->msg_iov, done);  // control data went with the first byte
        return sys::call(SYS_sendto, current, rest.iov_base, rest.iov_len,
                         flags | MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
      }));
}

HOOK(ssize_t, recv, (int fd, void* buffer, size_t length, int flags)) {
  if (!in_coroutine()) return real::recv(fd, buffer, length, flags);
  return receive_into(fd, buffer, length, flags, nullptr, nullptr);
}

HOOK(ssize_t, __recv_chk, (int fd, void* buffer, size_t length, size_t room, int flags)) {
  if (length > room) return real::__recv_chk(fd, buffer, length, room, flags);
  return hook_recv(fd, buffer, length, flags);
}

HOOK(ssize_t, recvfrom,
     (int fd, void* buffer, size_t length, int flags, sockaddr* address, socklen_t* address_length)) {
  if (!in_coroutine()) return real::recvfrom(fd, buffer, length, flags, address, address_length);
  return receive_into(fd, buffer, length, flags, address, address_length);
}

HOOK(ssize_t, __recvfrom_chk,
     (int fd, void* buffer, size_t length, size_t room, int flags, sockaddr* address,
      socklen_t* address_length)) {
  if (length > room) return real::__recvfrom_chk(fd, buffer, length, room, flags, address, address_length);
  return hook_recvfrom(fd, buffer, length, flags, address, address_length);
}

HOOK(ssize_t, recvmsg, (int fd, msghdr* message, int flags)) {
  if (in_coroutine()) return receive_message(fd, message, flags);
  ssize_t result = real::recvmsg(fd, message, flags);
  if (result >= 0 && message->msg_controllen != 0 && g_descriptors_active.load(std::memory_order_relaxed)) {
    learn_passed_descriptors(message);
  }
  return result;
}

// Waits for the first message; takes more only as long as they are there, or up to the timeout, which the
// kernel looks at between messages (recvmmsg(2), BUGS).
HOOK(int, recvmmsg, (int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout)) {
  if (!in_coroutine() || (flags & kNeverWaits) != 0)
    return real::recvmmsg(fd, messages, count, flags, timeout);
  cancellation_point();
  if ((flags & MSG_WAITFORONE) == 0 || timeout != nullptr || waits_for_more(fd)) {
    BlockingRegion region("recvmmsg");
    return real::recvmmsg(fd, messages, count, flags, timeout);
  }
  return return_errno<int>(await_restarting(fd, receive_options(fd, 0, flags), [&](int current) {
    return sys::call(SYS_recvmmsg, current, messages, count, flags | MSG_DONTWAIT, nullptr);
  }));
}

HOOK(ssize_t, send, (int fd, const void* buffer, size_t length, int flags)) {
  if (!in_coroutine()) return real::send(fd, buffer, length, flags);
  return send_from(fd, buffer, length, flags, nullptr, 0);
}

HOOK(ssize_t, sendto,
     (int fd, const void* buffer, size_t length, int flags, const sockaddr* address,
      socklen_t address_length)) {
  if (!in_coroutine()) return real::sendto(fd, buffer, length, flags, address, address_length);
  return send_from(fd, buffer, length, flags, address, address_length);
}

HOOK(ssize_t, sendmsg, (int fd, const msghdr* message, int flags)) {
  if (!in_coroutine()) return real::sendmsg(fd, message, flags);
  return send_message(fd, message, flags);
}

// sendmmsg(2): stops at the first message that fails; its error only when none was sent.
HOOK(int, sendmmsg, (int fd, mmsghdr* messages, unsigned count, int flags)) {
  if (!in_coroutine() || (flags & MSG_DONTWAIT) != 0 || !writable(messages, count * sizeof(mmsghdr))) {
    return after_write(real::sendmmsg(fd, messages, count, flags));
  }
  int saved = errno;
  for (unsigned i = 0; i < count; ++i) {
    ssize_t sent = send_message(fd, &messages[i].msg_hdr, flags);
    if (sent < 0) {
      if (i == 0) return -1;
      errno = saved;
      return static_cast<int>(i);
    }
    messages[i].msg_len = static_cast<unsigned>(sent);
  }
  return static_cast<int>(count);
}

HOOK(int, accept, (int fd, sockaddr* address, socklen_t* length)) {
  if (!in_coroutine()) return learn_accepted(fd, real::accept(fd, address, length));
  return accept_connection(fd, address, length, 0);
}

HOOK(int, accept4, (int fd, sockaddr* address, socklen_t* length, int flags)) {
  if (!in_coroutine()) return learn_accepted(fd, real::accept4(fd, address, length, flags));
  return accept_connection(fd, address, length, flags);
}

HOOK(int, socket, (int domain, int type, int protocol)) {
  int fd = real::socket(domain, type, protocol);
  descriptor_opened(fd, DescriptorKind::unknown, true);
  return fd;
}

HOOK(int, socketpair, (int domain, int type, int protocol, int* fds)) {
  int result = real::socketpair(domain, type, protocol, fds);
  if (result == 0) {
    descriptor_opened(fds[0], DescriptorKind::other_socket, true);
    descriptor_opened(fds[1], DescriptorKind::other_socket, true);
  }
  return result;
}

HOOK(int, listen, (int fd, int backlog)) {
  int result = real::listen(fd, backlog);
  descriptor_attributes_changed(fd);
  return result;
}

HOOK(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t length)) {
  int result = real::setsockopt(fd, level, name, value, length);
  bool timeout = level == SOL_SOCKET && (name == SO_RCVTIMEO || name == SO_SNDTIMEO ||
                                         name == SO_RCVTIMEO_NEW || name == SO_SNDTIMEO_NEW);
  bool protocol = level == IPPROTO_TCP && name == TCP_ULP;
  if (timeout || protocol) descriptor_attributes_changed(fd);
  if (level == SOL_SOCKET && name == SO_RCVLOWAT) g_low_water_used.store(true, std::memory_order_relaxed);
  return result;
}

}  // namespace coshim
