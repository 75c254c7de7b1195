// read, write and their relatives (splice.cpp: between two descriptors), by what the descriptor is: sockets
// go the way of recv and send; pipes and their like take RWF_NOWAIT; what has neither is polled, then called;
// regular files are just called (a slow disk is the monitor's).
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "preload/transfer.h"
#include "preload/user_memory.h"
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

// The file knows no RWF_NOWAIT, or a seccomp filter lets nobody try.
bool is_refused(long result) {
  return result == -EOPNOTSUPP || result == -EPERM || result == -ENOSYS;
}

// The kernel's struct termios (asm-generic/termbits.h).
struct KernelTermios {
  uint32_t input_flags, output_flags, control_flags, local_flags;
  uint8_t line, characters[19];
};

// Ready, or a call on it would not wait anyway: then the kernel's own answer counts.
bool may_call(int fd, short events) {
  return ready_now(fd, events) || program_wants_nonblocking(fd);
}

// Terminals that read(2) does not wait for by their readiness alone (termios(3)): in raw mode with VMIN 0 it
// ends after VTIME, and one that is not in the foreground gets SIGTTIN or EIO.
bool answers_by_itself(int fd) {
  KernelTermios terminal{};
  if (sys::call(SYS_ioctl, fd, TCGETS, &terminal) != 0) return false;
  if ((terminal.local_flags & ICANON) == 0 && terminal.characters[VMIN] == 0) return true;
  pid_t foreground = 0;
  return sys::call(SYS_ioctl, fd, TIOCGPGRP, &foreground) == 0 && foreground > 0 &&
         foreground != sys::call(SYS_getpgid, 0);
}

// Of what knows no RWF_NOWAIT, terminals are what waits for room; others are never ready for writing and take
// it all the same (answers to fanotify(7)).
bool waits_for_room(int fd) {
  KernelTermios terminal{};
  return sys::call(SYS_ioctl, fd, TCGETS, &terminal) == 0;
}

// A pseudo-terminal whose other end was closed while somebody waited: he gets EIO, who comes later the end of
// the file. By the time that we look it is the latter.
bool has_hung_up(int fd) {
  pollfd state{fd, 0, 0};
  timespec none{};
  struct stat status;
  return sys::call(SYS_ppoll, &state, 1, &none, nullptr, sizeof(sys::KernelSignalSet)) == 1 &&
         (state.revents & POLLHUP) != 0 && sys::call(SYS_fstat, fd, &status) == 0 &&
         S_ISCHR(status.st_mode) && major(status.st_rdev) >= 136 &&
         major(status.st_rdev) <= 143;  // Unix98 slaves, pts(4)
}

// One read that does not wait; -EAGAIN where it would.
long try_readv(int fd, const iovec* vector, int count) {
  if (knows_nowait(fd, kReadWithout)) {
    long result = sys::call(SYS_preadv2, fd, vector, count, -1, -1, kNoWait);
    if (!is_refused(result)) return result;
    learn_without_nowait(fd, kReadWithout);
  }
  if (!may_call(fd, POLLIN) && !answers_by_itself(fd)) return -EAGAIN;
  BlockingRegion region("read", false);  // somebody else may be faster
  return sys::call(SYS_readv, fd, vector, count);
}

long try_writev(int fd, const iovec* vector, int count) {
  if (knows_nowait(fd, kWriteWithout)) {
    long result = sys::call(SYS_pwritev2, fd, vector, count, -1, -1, kNoWait);
    if (!is_refused(result)) return result;
    learn_without_nowait(fd, kWriteWithout);
  }
  if (!may_call(fd, POLLOUT) && waits_for_room(fd)) return -EAGAIN;
  BlockingRegion region("write", false);
  return sys::call(SYS_writev, fd, vector, count);
}

bool readable_vector(const iovec* vector, int count) {
  return count < 0 || readable_array(vector, static_cast<size_t>(count));
}

bool just_call(DescriptorKind kind) {
  return kind == DescriptorKind::always_ready || kind == DescriptorKind::bad;
}

ssize_t read_vector(int fd, const iovec* vector, int count) {
  long total = vector_length(vector, count);
  DescriptorKind kind = descriptor_kind(fd);
  // Nothing to transfer, nothing to wait for: the kernel's answer, also to bad arguments.
  if (total <= 0 || just_call(kind)) {
    cancellation_point();
    return return_errno<ssize_t>(sys::call(SYS_readv, fd, vector, count));
  }
  if (is_socket(kind)) {
    if (count == 1) return receive_into(fd, vector->iov_base, vector->iov_len, 0, nullptr, nullptr);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(vector);
    message.msg_iovlen = static_cast<size_t>(count);
    return receive_message(fd, &message, 0);
  }
  cancellation_point();
  bool waited = false;
  return return_errno<ssize_t>(await_restarting(fd, {}, [&](int current) -> long {
    long result = try_readv(current, vector, count);
    if (__builtin_expect(result == 0 && waited, 0) && has_hung_up(current)) return -EIO;
    waited = waited || result == -EAGAIN;
    return result;
  }));
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
    cancellation_point();
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
  if (!in_coroutine() || !readable_vector(vector, count)) return real::readv(fd, vector, count);
  return read_vector(fd, vector, count);
}

HOOK(ssize_t, writev, (int fd, const iovec* vector, int count)) {
  if (!in_coroutine() || !readable_vector(vector, count)) return real::writev(fd, vector, count);
  return write_vector(fd, vector, count);
}

// preadv2(2): offset -1 is the file position, as readv; only then can it be a pipe or a socket.
HOOK(ssize_t, preadv2, (int fd, const iovec* vector, int count, off_t offset, int flags)) {
  if (!in_coroutine() || offset != -1 || flags != 0 || !readable_vector(vector, count))
    return real::preadv2(fd, vector, count, offset, flags);
  return read_vector(fd, vector, count);
}

HOOK(ssize_t, pwritev2, (int fd, const iovec* vector, int count, off_t offset, int flags)) {
  if (!in_coroutine() || offset != -1 || flags != 0 || !readable_vector(vector, count)) {
    return after_write(real::pwritev2(fd, vector, count, offset, flags));
  }
  return write_vector(fd, vector, count);
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
