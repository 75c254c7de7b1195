// Calls that open and close descriptors: they keep the descriptor table true, and the shim's own descriptors
// out of reach.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "preload/cancel.h"
#include "preload/hook.h"
#include "preload/kernel_wait.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/sched/blocking.h"

namespace coshim {

namespace {

int opened(int fd, DescriptorKind kind = DescriptorKind::unknown) {
  descriptor_opened(fd, kind);
  return fd;
}

// The shim's own descriptors are not there for the program.
int refuse_hidden() {
  errno = EBADF;
  return -1;
}

// close_range(2) without the shim's own: in stretches between them.
int close_visible(unsigned first, unsigned last, int flags) {
  unsigned highest = static_cast<unsigned>(highest_descriptor());
  unsigned from = first;
  for (unsigned fd = first; fd <= last && fd <= highest; ++fd) {
    if (!descriptor_is_hidden(static_cast<int>(fd))) continue;
    if (from < fd && real::close_range(from, fd - 1, flags) != 0) return -1;
    from = fd + 1;
  }
  return from > last ? 0 : real::close_range(from, last, flags);
}

// open(2) waits for FIFOs, some devices and slow file systems.
template <typename Open>
int open_in_region(Open&& open) {
  cancellation_point();
  int fd;
  {
    BlockingRegion region("open", false);
    fd = open();
  }
  return opened(fd);
}

}  // namespace

HOOK(int, close, (int fd)) {
  if (descriptor_is_hidden(fd)) return refuse_hidden();
  cancellation_point();
  descriptor_closing(fd);
  int result = real::close(fd);
  descriptor_closed(fd);
  return result;
}

HOOK(int, close_range, (unsigned first, unsigned last, int flags)) {
  constexpr unsigned kCloseOnExecOnly = 4;  // CLOSE_RANGE_CLOEXEC
  if (first > last || !g_descriptors_active.load(std::memory_order_relaxed))
    return real::close_range(first, last, flags);
  if ((static_cast<unsigned>(flags) & kCloseOnExecOnly) != 0) return real::close_range(first, last, flags);
  descriptor_range_closing(first, last);
  int result = close_visible(first, last, flags);
  descriptor_range_closed(first, last);
  return result;
}

HOOK(void, closefrom, (int first)) {
  if (!g_descriptors_active.load(std::memory_order_relaxed)) {
    real::closefrom(first);
    return;
  }
  hook_close_range(static_cast<unsigned>(first < 0 ? 0 : first), ~0U, 0);
}

HOOK(int, fclose, (FILE * stream)) {
  // The stream's own close comes through stdio's jump table, or, where that is not ours, by a call inside
  // libc.
  const int fd = stream != nullptr ? stream->_fileno : -1;
  descriptor_closing(fd);
  cancellation_point();
  int result = real::fclose(stream);
  descriptor_closed(fd);
  return result;
}

HOOK(int, dup, (int fd)) {
  return opened(real::dup(fd));
}

HOOK(int, dup2, (int from, int to)) {
  if (descriptor_is_hidden(from) || (descriptor_is_hidden(to) && !move_hidden_descriptor(to)))
    return refuse_hidden();
  if (from != to && sys::call(SYS_fcntl, from, F_GETFD) >= 0) descriptor_closing(to);
  int result = real::dup2(from, to);
  return from != to ? opened(result) : result;
}

HOOK(int, dup3, (int from, int to, int flags)) {
  if (descriptor_is_hidden(from) || (descriptor_is_hidden(to) && !move_hidden_descriptor(to)))
    return refuse_hidden();
  if (from != to && sys::call(SYS_fcntl, from, F_GETFD) >= 0) descriptor_closing(to);
  return opened(real::dup3(from, to, flags));
}

HOOK(int, fcntl, (int fd, int command, long argument)) {
  if (descriptor_is_hidden(fd)) return refuse_hidden();
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return opened(real::fcntl(fd, command, argument));
    case F_SETFL: {
      int result = real::fcntl(fd, command, argument);
      descriptor_flags_changed();
      return result;
    }
    case F_SETLKW:
    case F_OFD_SETLKW:
      if (in_coroutine()) return wait_for_record_lock(fd, command, reinterpret_cast<void*>(argument));
      return real::fcntl(fd, command, argument);
    default:
      return real::fcntl(fd, command, argument);
  }
}

HOOK(int, ioctl, (int fd, unsigned long request, long argument)) {
  int result = real::ioctl(fd, request, argument);
  if (request == FIONBIO) descriptor_flags_changed();
  return result;
}

HOOK(int, pipe, (int* fds)) {
  return hook_pipe2(fds, 0);
}

HOOK(int, pipe2, (int* fds, int flags)) {
  int result = real::pipe2(fds, flags);
  if (result == 0) {
    opened(fds[0], DescriptorKind::nowait_file);
    opened(fds[1], DescriptorKind::nowait_file);
  }
  return result;
}

HOOK(int, open, (const char* path, int flags, unsigned mode)) {
  return open_in_region([&] { return real::open(path, flags, mode); });
}
HOOK(int, openat, (int directory, const char* path, int flags, unsigned mode)) {
  return open_in_region([&] { return real::openat(directory, path, flags, mode); });
}
HOOK(int, creat, (const char* path, unsigned mode)) {
  return open_in_region([&] { return real::creat(path, mode); });
}
HOOK(int, __open_2, (const char* path, int flags)) {
  return open_in_region([&] { return real::__open_2(path, flags); });
}
HOOK(int, __openat_2, (int directory, const char* path, int flags)) {
  return open_in_region([&] { return real::__openat_2(directory, path, flags); });
}

HOOK(int, epoll_create, (int size)) {
  return opened(real::epoll_create(size), DescriptorKind::pollable);
}
HOOK(int, epoll_create1, (int flags)) {
  return opened(real::epoll_create1(flags), DescriptorKind::pollable);
}
HOOK(int, eventfd, (unsigned initial, int flags)) {
  return opened(real::eventfd(initial, flags), DescriptorKind::pollable);
}
HOOK(int, timerfd_create, (int clock, int flags)) {
  return opened(real::timerfd_create(clock, flags), DescriptorKind::pollable);
}
HOOK(int, signalfd, (int fd, const sigset_t* mask, int flags)) {
  int result = real::signalfd(fd, mask, flags);
  return fd < 0 ? opened(result, DescriptorKind::pollable) : result;
}
HOOK(int, inotify_init, ()) {
  return opened(real::inotify_init(), DescriptorKind::pollable);
}
HOOK(int, inotify_init1, (int flags)) {
  return opened(real::inotify_init1(flags), DescriptorKind::pollable);
}
HOOK(int, memfd_create, (const char* name, unsigned flags)) {
  return opened(real::memfd_create(name, flags), DescriptorKind::always_ready);
}

}  // namespace coshim
