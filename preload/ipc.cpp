// File locks, message queues, System V IPC, asynchronous I/O's waits. Where the kernel has a way to try, that
// comes first: most calls then need no region.
#include <sys/file.h>
#include <unistd.h>

#include "preload/cancel.h"
#include "preload/region.h"

namespace coshim {

COSHIM_REGION(aio_suspend, true)
COSHIM_REGION(lio_listio, true)
COSHIM_REGION(tcdrain, true)

HOOK(int, flock, (int fd, int operation)) {
  if (!in_coroutine()) return real::flock(fd, operation);
  COSHIM_RETURN_UNLESS(real::flock(fd, operation | LOCK_NB), (operation & LOCK_NB) != 0 ? 0 : EWOULDBLOCK);
  BlockingRegion region("flock");
  return real::flock(fd, operation);
}

// On x86-64, lockf and lockf64 are one function, and a cancellation point.
HOOK(int, lockf, (int fd, int command, off_t length)) {
  if (!in_coroutine() || command != F_LOCK) return real::lockf(fd, command, length);
  cancellation_point();
  int saved = errno;
  int result = real::lockf(fd, F_TLOCK, length);
  if (result == 0 || (errno != EAGAIN && errno != EACCES)) return result;
  errno = saved;
  BlockingRegion region("lockf");
  return real::lockf(fd, command, length);
}

HOOK(int, semtimedop, (int id, sembuf* operations, size_t count, const timespec* timeout)) {
  if (!in_coroutine()) return real::semtimedop(id, operations, count, timeout);
  const timespec at_once{0, 0};
  COSHIM_RETURN_UNLESS(real::semtimedop(id, operations, count, &at_once), EAGAIN);
  const Nanoseconds deadline = timeout != nullptr ? deadline_after(to_nanoseconds(*timeout)) : kForever;
  BlockingRegion region("semtimedop");
  int result = real::semtimedop(id, operations, count, timeout);
  while (result < 0 && errno == EINTR && region.was_frozen()) {
    Nanoseconds remaining = deadline - monotonic_now();
    timespec left = to_timespec(remaining > 0 ? remaining : 0);
    result = real::semtimedop(id, operations, count, deadline == kForever ? nullptr : &left);
  }
  return result;
}

HOOK(int, semop, (int id, sembuf* operations, size_t count)) {
  if (!in_coroutine()) return real::semop(id, operations, count);
  return hook_semtimedop(id, operations, count, nullptr);
}

HOOK(int, msgsnd, (int id, const void* message, size_t size, int flags)) {
  if (!in_coroutine()) return real::msgsnd(id, message, size, flags);
  cancellation_point();
  if ((flags & IPC_NOWAIT) != 0) return real::msgsnd(id, message, size, flags);
  COSHIM_RETURN_UNLESS(real::msgsnd(id, message, size, flags | IPC_NOWAIT), EAGAIN);
  BlockingRegion region("msgsnd");
  return region.repeat([&] { return real::msgsnd(id, message, size, flags); });
}

HOOK(ssize_t, msgrcv, (int id, void* message, size_t size, long type, int flags)) {
  if (!in_coroutine()) return real::msgrcv(id, message, size, type, flags);
  cancellation_point();
  if ((flags & IPC_NOWAIT) != 0) return real::msgrcv(id, message, size, type, flags);
  COSHIM_RETURN_UNLESS(real::msgrcv(id, message, size, type, flags | IPC_NOWAIT), ENOMSG);
  BlockingRegion region("msgrcv");
  return region.repeat([&] { return real::msgrcv(id, message, size, type, flags); });
}

// A time that has passed is a try: ETIMEDOUT says that the call would wait (mq_receive(3)).
HOOK(int, mq_timedsend,
     (mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* until)) {
  if (!in_coroutine()) return real::mq_timedsend(queue, message, size, priority, until);
  cancellation_point();
  const timespec past{0, 0};
  COSHIM_RETURN_UNLESS(real::mq_timedsend(queue, message, size, priority, &past), ETIMEDOUT);
  BlockingRegion region("mq_timedsend");
  return real::mq_timedsend(queue, message, size, priority, until);
}

HOOK(int, mq_send, (mqd_t queue, const char* message, size_t size, unsigned priority)) {
  if (!in_coroutine()) return real::mq_send(queue, message, size, priority);
  return hook_mq_timedsend(queue, message, size, priority, nullptr);
}

HOOK(ssize_t, mq_timedreceive,
     (mqd_t queue, char* message, size_t size, unsigned* priority, const timespec* until)) {
  if (!in_coroutine()) return real::mq_timedreceive(queue, message, size, priority, until);
  cancellation_point();
  const timespec past{0, 0};
  COSHIM_RETURN_UNLESS(real::mq_timedreceive(queue, message, size, priority, &past), ETIMEDOUT);
  BlockingRegion region("mq_timedreceive");
  return real::mq_timedreceive(queue, message, size, priority, until);
}

HOOK(ssize_t, mq_receive, (mqd_t queue, char* message, size_t size, unsigned* priority)) {
  if (!in_coroutine()) return real::mq_receive(queue, message, size, priority);
  return hook_mq_timedreceive(queue, message, size, priority, nullptr);
}

}  // namespace coshim
