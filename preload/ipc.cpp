// File locks, message queues, System V IPC, asynchronous I/O's waits. The kernel has a way to try each of
// them, which comes first. A POSIX message queue is a descriptor that can be waited for; the others wait in
// the kernel, within limits (preload/kernel_wait.h).
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/kernel_wait.h"
#include "preload/region.h"
#include "preload/sync.h"
#include "preload/transfer.h"
#include "preload/user_memory.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"

namespace coshim {

COSHIM_REGION(tcdrain, true)

namespace {

Nanoseconds deadline_of(const timespec* timeout) {
  return timeout == nullptr ? kForever : deadline_after(to_nanoseconds(*timeout));
}
// Not one that the kernel accepts, or can read.
bool is_bad(const timespec* time) {
  return time != nullptr && (!readable(time) || time->tv_sec < 0 || !valid_timespec(*time));
}
timespec left_until(Nanoseconds deadline) {
  Nanoseconds left = deadline - monotonic_now();
  return to_timespec(left > 0 ? left : 0);
}

constexpr auto kWouldLock = [](int error) { return error == EWOULDBLOCK || error == EACCES; };

}  // namespace

HOOK(int, aio_suspend, (const aiocb* const* list, int count, const timespec* timeout)) {
  if (!in_coroutine()) return real::aio_suspend(list, count, timeout);
  cancellation_point();
  const timespec at_once{0, 0};
  const Nanoseconds deadline = deadline_of(timeout);
  auto attempt = [&] { return real::aio_suspend(list, count, &at_once); };
  COSHIM_RETURN_UNLESS(attempt(), EAGAIN);
  return wait_within_limit(
      "aio_suspend", Interrupted::fails, deadline, attempt, [](int error) { return error == EAGAIN; },
      [&] {
        timespec left = left_until(deadline);
        return real::aio_suspend(list, count, timeout == nullptr ? nullptr : &left);
      });
}

HOOK(int, flock, (int fd, int operation)) {
  if (!in_coroutine() || (operation & LOCK_NB) != 0) return real::flock(fd, operation);
  auto attempt = [&] { return real::flock(fd, operation | LOCK_NB); };
  COSHIM_RETURN_UNLESS(attempt(), EWOULDBLOCK);
  return wait_within_limit("flock", Interrupted::restarts, kForever, attempt, kWouldLock,
                           [&] { return real::flock(fd, operation); });
}

// On x86-64, lockf and lockf64 are one function, and a cancellation point.
HOOK(int, lockf, (int fd, int command, off_t length)) {
  if (!in_coroutine() || command != F_LOCK) return real::lockf(fd, command, length);
  cancellation_point();
  auto attempt = [&] { return real::lockf(fd, F_TLOCK, length); };
  int saved = errno, result = attempt();
  if (result == 0 || !kWouldLock(errno)) return result;
  errno = saved;
  return wait_within_limit("lockf", Interrupted::restarts, kForever, attempt, kWouldLock,
                           [&] { return real::lockf(fd, command, length); });
}

int wait_for_record_lock(int fd, int command, void* lock) {
  cancellation_point();
  int trying = command == F_SETLKW ? F_SETLK : F_OFD_SETLK;
  auto attempt = [&] { return real::fcntl(fd, trying, reinterpret_cast<long>(lock)); };
  int saved = errno, result = attempt();
  if (result != -1 || !kWouldLock(errno)) return result;
  errno = saved;
  return wait_within_limit("fcntl", Interrupted::restarts, kForever, attempt, kWouldLock,
                           [&] { return real::fcntl(fd, command, reinterpret_cast<long>(lock)); });
}

HOOK(int, semtimedop, (int id, sembuf* operations, size_t count, const timespec* timeout)) {
  if (!in_coroutine() || is_bad(timeout)) return real::semtimedop(id, operations, count, timeout);
  const timespec at_once{0, 0};
  const Nanoseconds deadline = deadline_of(timeout);
  auto attempt = [&] {
    return undisturbed([&] { return real::semtimedop(id, operations, count, &at_once); });
  };
  COSHIM_RETURN_UNLESS(attempt(), EAGAIN);
  // EAGAIN also where the program itself does not want to wait (IPC_NOWAIT in an operation).
  for (size_t i = 0; i < count; ++i) {
    if ((operations[i].sem_flg & IPC_NOWAIT) != 0) return real::semtimedop(id, operations, count, timeout);
  }
  return wait_within_limit(
      "semtimedop", Interrupted::fails, deadline, attempt, [](int error) { return error == EAGAIN; },
      [&] {
        timespec left = left_until(deadline);
        return real::semtimedop(id, operations, count, timeout == nullptr ? nullptr : &left);
      });
}

HOOK(int, semop, (int id, sembuf* operations, size_t count)) {
  if (!in_coroutine()) return real::semop(id, operations, count);
  return hook_semtimedop(id, operations, count, nullptr);
}

HOOK(int, msgsnd, (int id, const void* message, size_t size, int flags)) {
  if (!in_coroutine()) return real::msgsnd(id, message, size, flags);
  cancellation_point();
  if ((flags & IPC_NOWAIT) != 0) return real::msgsnd(id, message, size, flags);
  auto attempt = [&] { return real::msgsnd(id, message, size, flags | IPC_NOWAIT); };
  COSHIM_RETURN_UNLESS(attempt(), EAGAIN);
  return wait_within_limit(
      "msgsnd", Interrupted::fails, kForever, attempt, [](int error) { return error == EAGAIN; },
      [&] { return real::msgsnd(id, message, size, flags); });
}

HOOK(ssize_t, msgrcv, (int id, void* message, size_t size, long type, int flags)) {
  if (!in_coroutine()) return real::msgrcv(id, message, size, type, flags);
  cancellation_point();
  if ((flags & IPC_NOWAIT) != 0) return real::msgrcv(id, message, size, type, flags);
  auto attempt = [&] { return real::msgrcv(id, message, size, type, flags | IPC_NOWAIT); };
  COSHIM_RETURN_UNLESS(attempt(), ENOMSG);
  return wait_within_limit(
      "msgrcv", Interrupted::fails, kForever, attempt, [](int error) { return error == ENOMSG; },
      [&] { return real::msgrcv(id, message, size, type, flags); });
}

namespace {

// Who has asked mq_notify(3) is not told of a message for which somebody waits, in the kernel's eyes: then
// the wait must be there. A queue's descriptor reads as "QSIZE:... NOTIFY:... SIGNO:... NOTIFY_PID:n".
bool somebody_is_to_be_notified(mqd_t queue) {
  constexpr char kWho[] = "NOTIFY_PID:";
  char text[128] = {};
  if (sys::call(SYS_pread64, queue, text, sizeof(text) - 1, 0) <= 0) return false;
  const char* who = strstr(text, kWho);
  return who != nullptr && who[sizeof(kWho) - 1] != '0';
}
constexpr long kWaitInKernel = -EDEADLK;

// A time that has passed is a try: ETIMEDOUT says that the call would wait (mq_receive(3)). Then the queue's
// descriptor is waited for; at the end, the real call has the last word on the program's clock.
template <typename Call>
auto with_queue(mqd_t queue, Direction direction, const timespec* until, Call&& call)
    -> decltype(call(queue, until)) {
  cancellation_point();
  if (is_bad(until)) return call(queue, until);
  const timespec past{0, 0};
  COSHIM_RETURN_UNLESS(call(queue, &past), ETIMEDOUT);
  AwaitOptions options;
  options.direction = direction;
  options.wait_kind = direction == Direction::readable ? WaitKind::readable : WaitKind::writable;
  options.deadline = until == nullptr ? kForever : to_monotonic(CLOCK_REALTIME, *until);
  options.check_nonblocking = false;
  long result;
  do {
    result = await_descriptor(queue, options, [&](int current) -> long {
      int saved = errno;
      auto tried = call(current, &past);
      if (tried >= 0) return tried;
      int error = errno;
      errno = saved;
      if (error != ETIMEDOUT) return -error;
      bool notifying = direction == Direction::readable && somebody_is_to_be_notified(current);
      return notifying ? kWaitInKernel : -EAGAIN;
    });
    if (result == -EINTR) cancellation_point();
  } while (result == -EINTR && restart_after_signal());
  if (result != -EAGAIN && result != kWaitInKernel) return return_errno<decltype(call(queue, until))>(result);
  BlockingRegion region("mq");
  return call(queue, until);
}

}  // namespace

HOOK(mqd_t, mq_open, (const char* name, int flags, unsigned mode, mq_attr* attributes)) {
  mqd_t queue = real::mq_open(name, flags, mode, attributes);
  descriptor_opened(queue);
  return queue;
}

// Who is parked goes to wait in the kernel.
HOOK(int, mq_notify, (mqd_t queue, const sigevent* event)) {
  int result = real::mq_notify(queue, event);
  if (result != 0 || event == nullptr || threads_are_native()) return result;
  if (DescriptorEntry* entry = descriptor_entry_if_known(queue))
    descriptor_event(queue, entry->generation.load(std::memory_order_acquire), EPOLLIN);
  return result;
}

HOOK(int, mq_close, (mqd_t queue)) {
  if (descriptor_is_hidden(queue)) return return_errno<int>(-EBADF);
  descriptor_closing(queue);
  int result = real::mq_close(queue);
  descriptor_closed(queue);
  return result;
}

HOOK(int, mq_timedsend,
     (mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* until)) {
  if (!in_coroutine()) return real::mq_timedsend(queue, message, size, priority, until);
  return with_queue(queue, Direction::writable, until, [&](mqd_t current, const timespec* end) {
    return real::mq_timedsend(current, message, size, priority, end);
  });
}

HOOK(int, mq_send, (mqd_t queue, const char* message, size_t size, unsigned priority)) {
  if (!in_coroutine()) return real::mq_send(queue, message, size, priority);
  return hook_mq_timedsend(queue, message, size, priority, nullptr);
}

HOOK(ssize_t, mq_timedreceive,
     (mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* until)) {
  if (!in_coroutine()) return real::mq_timedreceive(queue, message, size, priority, until);
  return with_queue(queue, Direction::readable, until, [&](mqd_t current, const timespec* end) {
    return real::mq_timedreceive(current, message, size, priority, end);
  });
}

HOOK(ssize_t, mq_receive, (mqd_t queue, char* message, size_t size, unsigned* priority)) {
  if (!in_coroutine()) return real::mq_receive(queue, message, size, priority);
  return hook_mq_timedreceive(queue, message, size, priority, nullptr);
}

}  // namespace coshim
