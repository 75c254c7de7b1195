// Calls between two descriptors: splice, tee, vmsplice, sendfile. Pipes have SPLICE_F_NONBLOCK; a socket or a
// terminal at the other end has not, and is waited for before.
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <sys/stat.h>

#include "preload/transfer.h"
#include "runtime/io/descriptor_table.h"

namespace coshim {

namespace {

// Waits in the call itself, whatever the flags.
bool waits_itself(int fd) {
  DescriptorKind kind = descriptor_kind(fd);
  if (kind != DescriptorKind::pollable) return is_socket(kind) && kind != DescriptorKind::listening_socket;
  struct stat status {};
  return sys::call(SYS_fstat, fd, &status) == 0 && S_ISCHR(status.st_mode);
}

long wait_ready(int fd, Direction direction) {
  AwaitOptions options;
  options.direction = direction;
  options.wait_kind = direction == Direction::readable ? WaitKind::readable : WaitKind::writable;
  short events = direction == Direction::readable ? POLLIN : POLLOUT;
  return await_restarting(fd, options,
                          [&](int current) -> long { return ready_now(current, events) ? 0 : -EAGAIN; });
}

// `call` is made with SPLICE_F_NONBLOCK: a bad argument is told before anything is waited for.
template <typename Call>
long between(int in, int out, Call&& call) {
  cancellation_point();
  const bool in_waits = waits_itself(in), out_waits = waits_itself(out);
  for (;;) {
    bool in_ready = !in_waits || ready_now(in, POLLIN), out_ready = !out_waits || ready_now(out, POLLOUT);
    long result = -EAGAIN;
    if (in_ready && out_ready) {
      BlockingRegion region("splice", false);
      result = call();
    }
    if (result != -EAGAIN || program_wants_nonblocking(in) || program_wants_nonblocking(out)) return result;
    bool wait_for_in = in_waits ? !in_ready : !ready_now(in, POLLIN);
    result = wait_for_in ? wait_ready(in, Direction::readable) : wait_ready(out, Direction::writable);
    if (result != 0) return result;
  }
}

// How much a TCP socket takes without waiting for its peer; 0: it must be waited for.
size_t room_to_send(int fd) {
  if (!ready_now(fd, POLLOUT)) return 0;  // also asks the kernel for an event when there is room again
  uint32_t memory[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof(memory);
  constexpr size_t kLittle = 4096;
  if (sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_MEMINFO, memory, &length) != 0) return kLittle;
  size_t limit = memory[SK_MEMINFO_SNDBUF], used = memory[SK_MEMINFO_WMEM_QUEUED];
  size_t half = limit > used ? (limit - used) / 2 : 0;
  return half > kLittle ? half : kLittle;
}

long send_file_to_tcp(int out, int in, off_t* offset, size_t count) {
  AwaitOptions options;
  options.direction = Direction::writable;
  options.wait_kind = WaitKind::writable;
  options.deadline = descriptor_timeout(out, Direction::writable);
  size_t done = 0;
  auto part = [&](int current) -> long {
    size_t room = room_to_send(current);
    if (room == 0) return -EAGAIN;
    BlockingRegion region("sendfile", false);
    return sys::call(SYS_sendfile, current, in, offset, room < count - done ? room : count - done);
  };
  while (done < count) {
    long result = done == 0 ? await_restarting(out, options, part) : await_descriptor(out, options, part);
    if (result < 0) return done > 0 ? static_cast<long>(done) : result;
    if (result == 0) break;
    done += static_cast<size_t>(result);
  }
  return static_cast<long>(done);
}

}  // namespace

HOOK(ssize_t, sendfile, (int out, int in, off_t* offset, size_t count)) {
  if (!in_coroutine()) return real::sendfile(out, in, offset, count);
  cancellation_point();
  if (count != 0 && descriptor_kind(out) == DescriptorKind::stream_socket && !program_wants_nonblocking(out))
    return return_errno<ssize_t>(send_file_to_tcp(out, in, offset, count));
  if (is_socket(descriptor_kind(out)) || descriptor_kind(out) == DescriptorKind::nowait_file) {
    long result = wait_ready(out, Direction::writable);
    if (result != 0 && result != -EAGAIN) return return_errno<ssize_t>(result);
  }
  BlockingRegion region("sendfile", false);
  return return_errno<ssize_t>(sys::call(SYS_sendfile, out, in, offset, count));
}

HOOK(ssize_t, splice,
     (int in, loff_t* in_offset, int out, loff_t* out_offset, size_t length, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0)
    return after_write(real::splice(in, in_offset, out, out_offset, length, flags));
  return return_errno<ssize_t>(between(in, out, [&] {
    return sys::call(SYS_splice, in, in_offset, out, out_offset, length, flags | SPLICE_F_NONBLOCK);
  }));
}

HOOK(ssize_t, tee, (int in, int out, size_t length, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0)
    return after_write(real::tee(in, out, length, flags));
  return return_errno<ssize_t>(
      between(in, out, [&] { return sys::call(SYS_tee, in, out, length, flags | SPLICE_F_NONBLOCK); }));
}

// A pipe, which is read from or written to.
HOOK(ssize_t, vmsplice, (int fd, const iovec* vector, size_t count, unsigned flags)) {
  if (!in_coroutine() || (flags & SPLICE_F_NONBLOCK) != 0)
    return after_write(real::vmsplice(fd, vector, count, flags));
  cancellation_point();
  long mode = sys::call(SYS_fcntl, fd, F_GETFL);
  AwaitOptions options;
  if (mode >= 0 && (mode & O_ACCMODE) != O_RDONLY) {
    options.direction = Direction::writable;
    options.wait_kind = WaitKind::writable;
  }
  return return_errno<ssize_t>(await_restarting(fd, options, [&](int current) {
    return sys::call(SYS_vmsplice, current, vector, count, flags | SPLICE_F_NONBLOCK);
  }));
}

}  // namespace coshim
