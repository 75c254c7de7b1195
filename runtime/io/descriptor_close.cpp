// Descriptors open and close: what stood there before is forgotten, and those who wait for it go on as they
// would natively, where whoever is in the kernel keeps the open file.
//
//   descriptor_closing   waiters move to a hidden duplicate, the entry begins a new generation
//   the real close       lets go of the file where nobody waited
//   descriptor_closed    who began to wait in between looks again
#include <fcntl.h>
#include <poll.h>

#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"
#include "runtime/thread/critical.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

bool has_waiters(const DescriptorEntry* entry) {
  return !entry->waiters[0].empty() || !entry->waiters[1].empty();
}

// Would poll(2) on it return, had it been asked to wait for this direction (0: reading, 1: writing)?
bool ready_for(short events, int direction) {
  constexpr short kEnded = POLLHUP | POLLERR;
  return (events & (kEnded | (direction == 0 ? POLLIN | POLLRDHUP | POLLPRI : POLLOUT))) != 0;
}

short events_now(int fd) {
  pollfd descriptor{fd, POLLIN | POLLRDHUP | POLLPRI | POLLOUT, 0};
  timespec none{};
  return sys::call(SYS_ppoll, &descriptor, 1, &none, nullptr, sizeof(sys::KernelSignalSet)) == 1
             ? descriptor.revents
             : static_cast<short>(0);
}

void use_moved(DescriptorEntry* target) {
  SpinGuard guard(target->lock);
  ++target->moved_users;
}

// Who waits for several descriptors (poll) stays asleep, for the others and for what happens to this file: it
// stands in the queue of the hidden number now. Both locks are held, so that it is always in one of them.
void move_poller(WaitNode* node, DescriptorEntry* target, int hidden, int direction) {
  SpinGuard guard(target->lock);
  __atomic_store_n(&node->key, static_cast<uintptr_t>(hidden), __ATOMIC_RELEASE);
  node->moved = true;
  node->queued = true;
  target->waiters[direction].push_back(node);
  ++target->moved_users;
}

// Moves the waiters of a descriptor that is about to be closed to a hidden duplicate: natively they keep the
// open file. Those who wait for this one alone are woken to go on there. An event from before the close,
// which our poller may not have seen yet, natively has woken who polls. True where the file stays open for
// somebody.
bool move_waiters(DescriptorEntry* entry, int fd) {
  int hidden = hide_descriptor(static_cast<int>(sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0)));
  DescriptorEntry* target = hidden >= 0 ? descriptor_entry(hidden) : nullptr;
  if (target != nullptr) use_moved(target);  // us, until all are there
  const short events = events_now(fd);
  Thread* wake[64];
  bool more = true, polled = false;
  while (more) {
    int count = 0;
    more = false;
    {
      SpinGuard guard(entry->lock);
      for (int direction = 0; direction < 2; ++direction) {
        WaiterList& list = entry->waiters[direction];
        while (WaitNode* node = list.front()) {
          if (count == 64) {
            more = true;
            break;
          }
          list.remove(node);
          node->queued = false;
          if (node->shared && !ready_for(events, direction)) {
            if (target != nullptr) move_poller(node, target, hidden, direction);
            polled = true;
            continue;
          }
          if (!node->shared) {
            node->key = target != nullptr ? static_cast<uintptr_t>(hidden) : kNothingLeft;
            if (target != nullptr) use_moved(target);
          }
          __atomic_store_n(&node->signaled, true, __ATOMIC_RELEASE);
          wake[count++] = node->thread;
        }
      }
    }
    for (int i = 0; i < count; ++i) unpark(wake[i]);
  }
  if (target == nullptr) return false;
  // What happened meanwhile is reported as the first event.
  if (polled) register_descriptor(target, hidden);
  return !leave_moved(target, hidden);
}

// Those who began to wait between our close and the kernel's, which brings them no event. Perhaps the number
// is another file's already, opened where no hook saw it, and it is that one they wait for: they try again,
// as if they came now.
struct LateWaiters {
  Thread* threads[64];
  int count = 0;

  // With the entry's lock held.
  void take(DescriptorEntry* entry) {
    for (WaiterList& list : entry->waiters) {
      while (count < 64 && !list.empty()) {
        WaitNode* node = list.front();
        list.remove(node);
        node->queued = false;
        if (!node->shared) node->key = kStartAfresh;
        __atomic_store_n(&node->signaled, true, __ATOMIC_RELEASE);
        threads[count++] = node->thread;
      }
    }
  }
  void wake() const {
    for (int i = 0; i < count; ++i) unpark(threads[i]);
  }
};

void close_entry(DescriptorEntry* entry, int fd) {
  CriticalSection critical;
  for (;;) {
    const bool kept = has_waiters(entry) && move_waiters(entry, fd);
    bool shared_description = kept || entry->exclusive_epoch != g_fork_epoch.load(std::memory_order_relaxed);
    bool registered = entry->registered_with.load(std::memory_order_relaxed) == poller_epoch();
    // While another descriptor of the description is open, the kernel would keep the registration.
    if (registered && shared_description) poller_unregister(fd);
    SpinGuard guard(entry->lock);
    if (has_waiters(entry)) continue;  // joined meanwhile
    forget_descriptor(entry);
    return;
  }
}

}  // namespace

void descriptor_opened(int fd, DescriptorKind kind, bool exclusive) {
  if (fd < 0 || !keeps_descriptor_books()) return;
  DescriptorEntry* entry = descriptor_entry(fd);
  if (entry == nullptr) return;
  note_opened(fd);
  CriticalSection critical;
  LateWaiters late;
  {
    SpinGuard guard(entry->lock);
    forget_descriptor(entry);
    if (__builtin_expect(has_waiters(entry), 0)) late.take(entry);
    entry->seen_opened = true;
    entry->kind.store(kind, std::memory_order_relaxed);
    if (exclusive) entry->exclusive_epoch = g_fork_epoch.load(std::memory_order_relaxed);
  }
  late.wake();
}

void descriptor_closing(int fd) {
  if (!keeps_descriptor_books()) return;
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  if (entry != nullptr && !entry->hidden) close_entry(entry, fd);
}

void descriptor_closed(int fd) {
  if (!keeps_descriptor_books()) return;
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  if (entry == nullptr || entry->hidden) return;
  if (entry->registered_with.load(std::memory_order_acquire) == 0 && !has_waiters(entry)) return;
  CriticalSection critical;
  LateWaiters late;
  {
    SpinGuard guard(entry->lock);
    if (entry->seen_opened) return;  // again, meanwhile
    forget_descriptor(entry);
    late.take(entry);
  }
  late.wake();
}

void descriptor_range_closed(unsigned first, unsigned last) {
  int highest = highest_descriptor();
  for (unsigned fd = first; highest >= 0 && fd <= last && fd <= static_cast<unsigned>(highest); ++fd) {
    descriptor_closed(static_cast<int>(fd));
  }
}

void descriptor_range_closing(unsigned first, unsigned last) {
  if (!keeps_descriptor_books()) return;
  int highest = highest_descriptor();
  if (highest < 0 || first > static_cast<unsigned>(highest)) return;
  if (last > static_cast<unsigned>(highest)) last = static_cast<unsigned>(highest);
  for (unsigned fd = first; fd <= last; ++fd) descriptor_closing(static_cast<int>(fd));
}

}  // namespace coshim
