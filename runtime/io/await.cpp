// Try, then park, on one descriptor (DESIGN §8).
//
// No edge is lost: the number of edges seen is read before the attempt, and the waiter joins the queue only
// if it is still the same, under the lock under which descriptor_event() counts. One edge wakes one waiter,
// and a waiter that got something wakes the next: so several readers of one descriptor are served in order,
// without a herd.
#include "runtime/io/await.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/critical.h"
#include "runtime/wait/parker.h"

namespace coshim {

namespace {

std::atomic<uint32_t>& edges(DescriptorEntry* entry, Direction direction) {
  return direction == Direction::readable ? entry->read_events : entry->write_events;
}
std::atomic<uint32_t>& drained_at(DescriptorEntry* entry, Direction direction) {
  return direction == Direction::readable ? entry->read_drained_at : entry->write_drained_at;
}

// Takes the first exclusive waiter, or with `all` every one, and all shared ones; gives up to `capacity`
// threads to wake.
int take_waiters(WaiterList& list, bool all, bool shared_too, Thread** threads, int capacity) {
  int count = 0;
  bool exclusive_taken = false;
  for (WaitNode* node = list.front(); node != nullptr && count < capacity;) {
    WaitNode* next = node->link.next;
    bool take = node->shared ? shared_too : all || !exclusive_taken;
    if (take) {
      exclusive_taken = exclusive_taken || !node->shared;
      list.remove(node);
      node->queued = false;
      threads[count++] = node->thread;
      __atomic_store_n(&node->signaled, true, __ATOMIC_RELEASE);
    }
    node = next;
  }
  return count;
}

constexpr int kWakeBatch = 32;

void wake_direction(DescriptorEntry* entry, uint32_t generation, Direction direction, bool all,
                    bool count_edge, bool never_skip) {
  Thread* threads[kWakeBatch];
  int count;
  do {
    {
      SpinGuard guard(entry->lock);
      if (entry->generation.load(std::memory_order_relaxed) != generation) return;
      if (never_skip) entry->never_skip = true;
      if (count_edge) edges(entry, direction).fetch_add(1, std::memory_order_release);
      count = take_waiters(entry->waiters[static_cast<int>(direction)], all, true, threads, kWakeBatch);
    }
    count_edge = false;
    for (int i = 0; i < count; ++i) unpark(threads[i]);
  } while (count == kWakeBatch);
}

// One wait of one coroutine, on an entry that may change under it (a descriptor closed by another thread).
class Waiting {
 public:
  Waiting(Coroutine* self, int fd, const AwaitOptions& options)
      : self_(self), node_(self->wait_node), options_(options), fd_(fd), entry_(descriptor_entry(fd)) {
    if (entry_ != nullptr) generation_ = entry_->generation.load(std::memory_order_acquire);
  }
  ~Waiting() {
    if (entry_ == nullptr) return;
    if (woken_) pass_on();
    if (moved_) leave_hidden();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  bool has_entry() const { return entry_ != nullptr; }
  int fd() const { return fd_; }

  // Is an attempt sure to fail? Remembers the edges seen before it.
  bool sure_to_fail() {
    seen_ = edges(entry_, options_.direction).load(std::memory_order_acquire);
    return drained_at(entry_, options_.direction).load(std::memory_order_relaxed) == seen_ &&
           !entry_->never_skip && entry_->seen_opened &&
           entry_->registered_with.load(std::memory_order_relaxed) == poller_epoch();
  }
  void note_result(long result) {
    bool is_short = result > 0 && static_cast<size_t>(result) < options_.wanted;
    if (is_short && descriptor_kind(fd_) == DescriptorKind::stream_socket) {
      drained_at(entry_, options_.direction).store(seen_, std::memory_order_relaxed);
    }
  }

  // 0: try again; else the call's end, a negative error number. `handlers_before`: t_local.handlers_run when
  // the call began. A handler that has run since, also between two waits of the call, ends it: natively the
  // thread was in the kernel all the time.
  long wait(uint32_t handlers_before) {
    int error = register_descriptor(entry_, fd_);
    if (error != 0) return error == -EPERM || error == -ENOMEM || error == -ENOSPC ? wait_in_kernel() : error;
    // First: from here on handlers run after the wait, not while the node is queued.
    WaitReason reason(self_, options_.wait_kind, reinterpret_cast<const void*>(static_cast<intptr_t>(fd_)),
                      true, true);
    if (__builtin_expect(t_local.handlers_run != handlers_before, 0)) return -EINTR;
    switch (join()) {
      case Joined::no:
        return 0;
      case Joined::gone:
        return look_again();
      case Joined::yes:
        break;
    }
    for (;;) {
      park(self_, options_.deadline);
      uint32_t interrupts = self_->interrupts.load(std::memory_order_acquire);
      if (__atomic_load_n(&node_.signaled, __ATOMIC_ACQUIRE)) {
        long result = follow();
        // A cancellation that comes in the wait acts, whatever else has come.
        return __builtin_expect((interrupts & kInterruptCancel) != 0, 0) ? -EINTR : result;
      }
      bool interrupted = interrupts != 0;
      if (!interrupted && (options_.deadline == kForever || monotonic_now() < options_.deadline)) continue;
      if (!leave()) {
        long result = follow();
        if (result != 0 || !interrupted) return result;
      }
      return interrupted ? -EINTR : -EAGAIN;
    }
  }

  // Neither table nor poller can help: the kernel waits, on this kernel thread.
  __attribute__((noinline)) long wait_in_kernel() {  // its frame is not to be part of every wait's
    short events = options_.direction == Direction::readable ? POLLIN : POLLOUT;
    pollfd descriptor{fd_, events, 0};
    timespec interval{};
    const timespec* timeout = nullptr;
    if (options_.deadline != kForever) {
      Nanoseconds left = options_.deadline - monotonic_now();
      if (left <= 0) return -EAGAIN;
      interval = to_timespec(left);
      timeout = &interval;
    }
    BlockingRegion region("poll");
    long result = sys::call(SYS_ppoll, &descriptor, 1, timeout, nullptr, 8);
    if (result == -EINTR && region.was_frozen()) return 0;
    return result < 0 ? result : result == 0 ? -EAGAIN : 0;
  }

 private:
  enum class Joined { yes, no, gone };

  Joined join() {
    CriticalSection critical;
    SpinGuard guard(entry_->lock);
    if (entry_->generation.load(std::memory_order_relaxed) != generation_) return Joined::gone;
    if (edges(entry_, options_.direction).load(std::memory_order_relaxed) != seen_) return Joined::no;
    node_.thread = self_;
    node_.key = static_cast<uintptr_t>(fd_);
    node_.shared = false;
    node_.signaled = false;
    node_.queued = true;
    WaiterList& list = entry_->waiters[static_cast<int>(options_.direction)];
    if (woken_) {
      list.push_front(&node_);  // woken in vain: keeps its turn
    } else {
      list.push_back(&node_);
    }
    return Joined::yes;
  }

  // Closed or replaced since the attempt. Before the first wait it is as if the call came after that.
  long look_again() {
    if (woken_) return -EBADF;
    generation_ = entry_->generation.load(std::memory_order_acquire);
    return 0;
  }

  // False: it had been woken before it could leave.
  bool leave() {
    CriticalSection critical;
    SpinGuard guard(entry_->lock);
    if (!node_.queued) return false;
    entry_->waiters[static_cast<int>(options_.direction)].remove(&node_);
    node_.queued = false;
    return true;
  }

  // After a wake-up: perhaps to another number.
  long follow() {
    if (node_.key == kStartAfresh) {
      generation_ = entry_->generation.load(std::memory_order_acquire);
      return 0;
    }
    woken_ = true;
    if (node_.key == static_cast<uintptr_t>(fd_)) return 0;
    if (node_.key == kNothingLeft) return -EBADF;
    bool had_moved = moved_;
    if (had_moved) leave_hidden();
    fd_ = static_cast<int>(node_.key);
    entry_ = descriptor_entry(fd_);
    generation_ = entry_->generation.load(std::memory_order_acquire);
    moved_ = true;
    return 0;
  }

  void pass_on() {
    if (entry_->waiters[static_cast<int>(options_.direction)].empty()) return;
    CriticalSection critical;
    Thread* next = nullptr;
    int count;
    {
      SpinGuard guard(entry_->lock);
      count = take_waiters(entry_->waiters[static_cast<int>(options_.direction)], false, false, &next, 1);
    }
    if (count != 0) unpark(next);
  }

  void leave_hidden() { leave_moved(entry_, fd_); }

  Coroutine* self_;
  WaitNode& node_;
  const AwaitOptions& options_;
  int fd_;
  DescriptorEntry* entry_;
  uint32_t generation_ = 0;
  uint32_t seen_ = 0;
  bool woken_ = false;
  bool moved_ = false;
};

}  // namespace

void descriptor_event(int fd, uint32_t generation, uint32_t events) {
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  if (entry == nullptr) return;
  bool ended = (events & (EPOLLHUP | EPOLLERR)) != 0;
  bool never_skip = (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP | EPOLLPRI)) != 0;
  if (ended || (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI)) != 0) {
    wake_direction(entry, generation, Direction::readable, ended, true, never_skip);
  }
  if (ended || (events & EPOLLOUT) != 0)
    wake_direction(entry, generation, Direction::writable, ended, true, never_skip);
}

long await_descriptor_raw(int fd, const AwaitOptions& options, Attempt attempt, void* context) {
  Waiting waiting(current_coroutine(), fd, options);
  t_local.no_restart = false;
  const uint32_t handlers_before = t_local.handlers_run;
  for (;;) {
    bool attempted =
        !waiting.has_entry() || !waiting.sure_to_fail() || t_local.handlers_run != handlers_before;
    long result = attempted ? attempt(context, waiting.fd()) : -EAGAIN;
    if (result == -EAGAIN && options.check_nonblocking && program_wants_nonblocking(waiting.fd())) {
      // What poll(2) has told the program may not have reached our poller yet: only the kernel may say
      // EAGAIN.
      if (attempted) return -EAGAIN;
      result = attempt(context, waiting.fd());
      if (result == -EAGAIN) return -EAGAIN;
    }
    if (result != -EAGAIN) {
      if (waiting.has_entry()) waiting.note_result(result);
      return result;
    }
    if (__builtin_expect(t_local.handlers_run != handlers_before, 0)) return -EINTR;
    long end = waiting.has_entry() ? waiting.wait(handlers_before) : waiting.wait_in_kernel();
    if (end != 0) return end;
  }
}

}  // namespace coshim
