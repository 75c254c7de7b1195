// read, write and their relatives, by what the descriptor is: sockets go the way of recv and send; pipes and
// their like take RWF_NOWAIT; what has neither is polled, then called; regular files are just called (a slow
// disk is the monitor's).
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "preload/transfer.h"
#include "runtime/io/descriptor_table.h"

namespace coshim {

namespace {

constexpr int kNoWait = 0x8;  // RWF_NOWAIT, preadv2(2)

enum NowaitBits : uint8_t { kReadWithout = 1, kWriteWithout = 2 };

// Does the file know RWF_NOWAIT in this direction, as far as we have seen?
bool knows_nowait(int fd, uint8_t bit) {
  const DescriptorEntry* entry = descriptor_entry_if_known(fd);
  return entry == nullptr || (__atomic_load_n(&entry->without_nowait, __ATOMIC_RELAXED) & bit) == 0;
}
void learn_without_nowait(int fd, uint8_t bit) {
  if (DescriptorEntry* entry = descriptor_entry(fd))
    __atomic_fetch_or(&entry->without_nowait, bit, __ATOMIC_RELAXED);
}

// One read that does not wait; -EAGAIN where it would.
long try_readv(int fd, const iovec* vector, int count) {
  if (knows_nowait(fd, kReadWithout)) {
    long result = sys::call(SYS_preadv2, fd, vector, count, -1, -1, kNoWait);
    if (result != -EOPNOTSUPP) return result;
    learn_without_nowait(fd, kReadWithout);
  }
  if (!ready_now(fd, POLLIN)) return -EAGAIN;
  BlockingRegion region("read", false);  // somebody else may be faster
  return sys::call(SYS_readv, fd, vector, count);
}

long try_writev(int fd, const iovec* vector, int count) {
  if (knows_nowait(fd, kWriteWithout)) {
    long result = sys::call(SYS_pwritev2, fd, vector, count, -1, -1, kNoWait);
    if (result != -EOPNOTSUPP) return result;
    learn_without_nowait(fd, kWriteWithout);
  }
  if (!ready_now(fd, POLLOUT)) return -EAGAIN;
  BlockingRegion region("write", false);
  return sys::call(SYS_writev, fd, vector, count);
}

bool just_call(DescriptorKind kind) {
  return kind == DescriptorKind::always_ready || kind == DescriptorKind::bad;
}

ssize_t read_vector(int fd, const iovec* vector, int count) {
  long total = vector_length(vector, count);
  DescriptorKind kind = descriptor_kind(fd);
  // Nothing to transfer, nothing to wait for: the kernel's answer, also to bad arguments.
  if (total <= 0 || just_call(kind)) return return_errno<ssize_t>(sys::call(SYS_readv, fd, vector, count));
  if (is_socket(kind)) {
    if (count == 1) return receive_into(fd, vector->iov_base, vector->iov_len, 0, nullptr, nullptr);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(vector);
    message.msg_iovlen = static_cast<size_t>(count);
    return receive_message(fd, &message, 0);
  }
  cancellation_point();
  return return_errno<ssize_t>(
      await_restarting(fd, {}, [&](int current) { return try_readv(current, vector, count); }));
}

AwaitOptions write_options() {
  AwaitOptions options;
  options.direction = Direction::writable;
  options.wait_kind = WaitKind::writable;
  return options;
}

// Up to PIPE_BUF bytes go in one piece or not at all (pipe(7)): then the vector is written as one.
ssize_t write_pieces(int fd, const iovec* vector, int count, size_t total) {
  if (count > 1 && total <= PIPE_BUF) {
    return return_errno<ssize_t>(await_restarting(
        fd, write_options(), [&](int current) { return try_writev(current, vector, count); }));
  }
  return return_errno<ssize_t>(transfer_all(fd, write_options(), total, [&](int current, size_t done) {
    iovec rest = vector_at(vector, done);
    return try_writev(current, &rest, 1);
  }));
}

ssize_t write_vector(int fd, const iovec* vector, int count) {
  long total = vector_length(vector, count);
  DescriptorKind kind = descriptor_kind(fd);
  if (just_call(kind) || total < 0 || (total == 0 && !is_socket(kind))) {
    return return_errno<ssize_t>(sys::call(SYS_writev, fd, vector, count));
  }
  if (is_socket(kind)) {
    if (count == 1) return send_from(fd, vector->iov_base, vector->iov_len, 0, nullptr, 0);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(vector);
    message.msg_iovlen = static_cast<size_t>(count);
    return send_message(fd, &message, 0);
  }
  cancellation_point();
  return write_pieces(fd, vector, count, static_cast<size_t>(total));
}

// splice(2) and its relatives wait for two descriptors at once: wait for both, then the call, which may still
// block a little.
template <typename Call>
long between(int in, int out, Call&& call) {
  cancellation_point();
  auto wait_for = [](int fd, Direction direction, short events) -> long {
    if (fd < 0 || just_call(descriptor_kind(fd))) return 0;
    AwaitOptions options;
    options.direction = direction;
    return await_restarting(fd, options,
                            [&](int current) -> long { return ready_now(current, events) ? 0 : -EAGAIN; });
  };
  long error = wait_for(in, Direction::readable, POLLIN);
  if (error == 0) error = wait_for(out, Direction::writable, POLLOUT);
  if (error < 0 && error != -EAGAIN) return error;
  BlockingRegion region("splice", false);
  return call();
}

}  // namespace

HOOK(ssize_t, read, (int fd, void* buffer, size_t length)) {
  if (!in_coroutine()) return real::read(fd, buffer, length);
  iovec vector{buffer, length};
  return read_vector(fd, &vector, 1);
}

HOOK(ssize_t, __read_chk, (int fd, void* buffer, size_t length, size_t room)) {
  if (length > room) return real::__read_chk(fd, buffer, length, room);
  return hook_read(fd, buffer, length);
}

HOOK(ssize_t, write, (int fd, const void* buffer, size_t length)) {
  if (!in_coroutine()) return real::write(fd, buffer, length);
  iovec vector{const_cast<void*>(buffer), length};
  return write_vector(fd, &vector, 1);
}

HOOK(ssize_t, readv, (int fd, const iovec* vector, int count)) {
  if (!in_coroutine()) return real::readv(fd, vector, count);
  return read_vector(fd, vector, count);
}

HOOK(ssize_t, writev, (int fd, const iovec* vector, int count)) {
  if (!in_coroutine()) return real::writev(fd, vector, count);
  return write_vector(fd, vector, count);
}

// preadv2(2): offset -1 is the file position, as readv; only then can it be a pipe or a socket.
HOOK(ssize_t, preadv2, (int fd, const iovec* vector, int count, off_t offset, int flags)) {
  if (!in_coroutine() || offset != -1 || flags != 0) return real::preadv2(fd, vector, count, offset, flags);
  return read_vector(fd, vector, count);
}

HOOK(ssize_t, pwritev2, (int fd, const iovec* vector, int count, off_t offset, int flags)) {
  if (!in_coroutine() || offset != -1 || flags != 0) return real::pwritev2(fd, vector, count, offset, flags);
  return write_vector(fd, vector, count);
}

HOOK(ssize_t, sendfile, (int out, int in, off_t* offset, size_t count)) {
  if (!in_coroutine()) return real::sendfile(out, in, offset, count);
  return return_errno<ssize_t>(
      between(in, out, [&] { return sys::call(SYS_sendfile, out, in, offset, count); }));
}

HOOK(ssize_t, splice,
     (int in, loff_t* in_offset, int out, loff_t* out_offset, size_t length, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0)
    return real::splice(in, in_offset, out, out_offset, length, flags);
  return return_errno<ssize_t>(
      between(in, out, [&] { return sys::call(SYS_splice, in, in_offset, out, out_offset, length, flags); }));
}

HOOK(ssize_t, tee, (int in, int out, size_t length, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0) return real::tee(in, out, length, flags);
  return return_errno<ssize_t>(between(in, out, [&] { return sys::call(SYS_tee, in, out, length, flags); }));
}

HOOK(ssize_t, vmsplice, (int fd, const iovec* vector, size_t count, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0) return real::vmsplice(fd, vector, count, flags);
  long mode = sys::call(SYS_fcntl, fd, F_GETFL);
  bool reads = mode >= 0 && (mode & O_ACCMODE) == O_RDONLY;
  return return_errno<ssize_t>(between(reads ? fd : -1, reads ? -1 : fd,
                                       [&] { return sys::call(SYS_vmsplice, fd, vector, count, flags); }));
}

HOOK(int, eventfd_read, (int fd, eventfd_t* value)) {
  if (!in_coroutine()) return real::eventfd_read(fd, value);
  return hook_read(fd, value, sizeof(*value)) == sizeof(*value) ? 0 : -1;
}

HOOK(int, eventfd_write, (int fd, eventfd_t value)) {
  if (!in_coroutine()) return real::eventfd_write(fd, value);
  return hook_write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

HOOK(int, fsync, (int fd)) {
  cancellation_point();
  BlockingRegion region("fsync");
  return real::fsync(fd);
}

HOOK(int, fdatasync, (int fd)) {
  cancellation_point();
  BlockingRegion region("fdatasync");
  return real::fdatasync(fd);
}

}  // namespace coshim
