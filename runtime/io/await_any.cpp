// Waiting for any of several descriptors: what poll, select and epoll_wait are made of.
#include <errno.h>
#include <sys/mman.h>

#include <new>

#include "runtime/io/await.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/critical.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

// Two nodes a descriptor: one a direction. They stand in the coroutine's record's own memory, not on its
// stack.
bool reserve_nodes(Coroutine* self, size_t descriptors) {
  size_t needed = descriptors * 2;
  if (needed <= self->poll_capacity) return true;
  size_t bytes = (needed * sizeof(WaitNode) + 4095) / 4096 * 4096;
  long memory =
      sys::call(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return false;
  if (self->poll_nodes != nullptr)
    sys::call(SYS_munmap, self->poll_nodes, (self->poll_capacity * sizeof(WaitNode) + 4095) / 4096 * 4096);
  self->poll_nodes = reinterpret_cast<WaitNode*>(memory);
  self->poll_capacity = static_cast<uint32_t>(bytes / sizeof(WaitNode));
  return true;
}

bool wants(const pollfd& descriptor, Direction direction) {
  bool write = (descriptor.events & (POLLOUT | POLLWRNORM | POLLWRBAND)) != 0;
  bool read = (descriptor.events & (POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI | POLLRDHUP)) != 0;
  return direction == Direction::writable ? write
                                          : read || !write;  // errors and hang-ups are always reported
}

void join(Coroutine* self, DescriptorEntry* entry, int fd, Direction direction, WaitNode* node) {
  new (node) WaitNode;
  node->thread = self;
  node->key = static_cast<uintptr_t>(fd);
  node->shared = true;
  SpinGuard guard(entry->lock);
  node->queued = true;
  entry->waiters[static_cast<int>(direction)].push_back(node);
}

// False where the table or the poller cannot take one of them.
bool join_all(Coroutine* self, const pollfd* fds, size_t count) {
  CriticalSection critical;
  bool complete = true;
  for (size_t i = 0; i < count; ++i) {
    WaitNode* nodes = &self->poll_nodes[i * 2];
    new (&nodes[0]) WaitNode;
    new (&nodes[1]) WaitNode;
    if (fds[i].fd < 0) continue;
    DescriptorEntry* entry = descriptor_entry(fds[i].fd);
    int error = entry == nullptr ? -ENOMEM : register_descriptor(entry, fds[i].fd);
    if (error == -EPERM || error == -EBADF) continue;  // always ready, or POLLNVAL: the real call has said so
    if (error != 0) {
      complete = false;
      continue;
    }
    if (wants(fds[i], Direction::readable)) join(self, entry, fds[i].fd, Direction::readable, &nodes[0]);
    if (wants(fds[i], Direction::writable)) join(self, entry, fds[i].fd, Direction::writable, &nodes[1]);
  }
  return complete;
}

void leave(WaitNode* node, int direction) {
  for (;;) {
    // A close by another thread may move it to another entry (descriptor_table.cpp), holding both locks.
    const uintptr_t key = __atomic_load_n(&node->key, __ATOMIC_ACQUIRE);
    DescriptorEntry* entry = descriptor_entry_if_known(static_cast<int>(key));
    {
      SpinGuard guard(entry->lock);
      if (node->key != key) continue;
      if (node->queued) {
        entry->waiters[direction].remove(node);
        node->queued = false;
      }
    }
    if (node->moved) leave_moved(entry, static_cast<int>(key));
    return;
  }
}

void leave_all(Coroutine* self, size_t count) {
  CriticalSection critical;
  for (size_t i = 0; i < count * 2; ++i) {
    WaitNode* node = &self->poll_nodes[i];
    if (node->thread != nullptr) leave(node, static_cast<int>(i % 2));  // it had joined
  }
}

bool any_signaled(const Coroutine* self, size_t count) {
  for (size_t i = 0; i < count * 2; ++i) {
    if (__atomic_load_n(&self->poll_nodes[i].signaled, __ATOMIC_ACQUIRE)) return true;
  }
  return false;
}

// Neither table nor poller can help: look again every tenth of a second, on this kernel thread.
long wait_in_kernel(Nanoseconds deadline, long (*check)(void*), void* context) {
  BlockingRegion region("poll");
  for (;;) {
    constexpr Nanoseconds kSlice = 100000000;
    Nanoseconds left = deadline == kForever ? kSlice : deadline - monotonic_now();
    if (left <= 0) return check(context);
    timespec interval = to_timespec(left < kSlice ? left : kSlice);
    long slept = sys::call(SYS_ppoll, nullptr, 0, &interval, nullptr, 8);
    if (slept == -EINTR && !region.was_frozen()) return -EINTR;
    if (long result = check(context)) return result;
  }
}

}  // namespace

long await_any_raw(const pollfd* fds, size_t count, Nanoseconds deadline, long (*check)(void*),
                   void* context) {
  const uint32_t handlers_before = t_local.handlers_run;
  if (long result = check(context)) return result;
  Coroutine* self = current_coroutine();
  if (!reserve_nodes(self, count)) return wait_in_kernel(deadline, check, context);
  for (;;) {
    bool complete, interrupted = false, late = false;
    long result = 0;
    {
      // First: from here on handlers run after the wait, not while the nodes are queued.
      self->polled = static_cast<uint32_t>(count);
      WaitReason reason(self, WaitKind::polling, fds);
      complete = join_all(self, fds, count);
      if (complete) result = check(context);
      interrupted = t_local.handlers_run != handlers_before;
      while (complete && result == 0 && !interrupted && !late && !any_signaled(self, count)) {
        park(self, deadline);
        interrupted = self->interrupts.load(std::memory_order_acquire) != 0;
        late = deadline != kForever && monotonic_now() >= deadline;
      }
      leave_all(self, count);
    }
    if (!complete) return wait_in_kernel(deadline, check, context);
    if (result == 0) result = check(context);
    if (result != 0) return result;
    // Also a handler that ran while an event woke us that was nothing for us.
    if (interrupted || t_local.handlers_run != handlers_before) return -EINTR;
    if (late) return 0;
  }
}

}  // namespace coshim
