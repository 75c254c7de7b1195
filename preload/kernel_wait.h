// Calls that wait in the kernel for what another thread or process does, and that can be tried: file locks,
// System V IPC, wait(2). At most COSHIM_BLOCKING kernel threads wait so at once (runtime/sched/places.h);
// beyond, a coroutine tries again at growing intervals. Nobody queues for a place: the one in front might
// wait for the one behind.
#pragma once

#include "preload/hook.h"
#include "runtime/sched/blocking.h"
#include "runtime/sched/places.h"

namespace coshim {

// A place for the time of a blocking region; destroyed after it.
class Place {
 public:
  explicit Place(PlaceKind kind) { take_place(kind); }
  Place() = default;  // has been taken
  ~Place() { leave_place(t_local.coroutine); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
};

// Parks until `deadline`. 0, or -EINTR where a signal handler ran; *restart: as SA_RESTART says.
long pause_until(Nanoseconds deadline, bool* restart);

enum class Interrupted { restarts, fails };  // after a handler, as signal(7) says of the call

// attempt() has said "would wait" once: calls it again and again, or wait(), in a region called `name`, until
// one of them says something else. Both return as libc's functions do; would_wait(errno) tells of an
// attempt's failure. At `deadline` the last attempt's answer is the call's.
template <typename Attempt, typename WouldWait, typename Wait>
auto wait_within_limit(const char* name, Interrupted interrupted, Nanoseconds deadline, Attempt&& attempt,
                       WouldWait&& would_wait, Wait&& wait) -> decltype(wait()) {
  constexpr Nanoseconds kLongest = 50000000;
  const int saved = errno;
  for (Nanoseconds interval = 1000000;; interval = interval * 2 < kLongest ? interval * 2 : kLongest) {
    errno = saved;
    if (try_take_place(PlaceKind::waits)) {
      Place place;
      BlockingRegion region(name);
      return region.repeat(wait);
    }
    Nanoseconds until = deadline_after(interval);
    bool restart = false;
    if (pause_until(until < deadline ? until : deadline, &restart) != 0 &&
        !(restart && interrupted == Interrupted::restarts)) {
      errno = EINTR;
      return -1;
    }
    auto result = attempt();
    if (result >= 0 || !would_wait(errno) || (deadline != kForever && monotonic_now() >= deadline))
      return result;
  }
}

// In ipc.cpp: fcntl(F_SETLKW or F_OFD_SETLKW) of a coroutine.
int wait_for_record_lock(int fd, int command, void* lock);

}  // namespace coshim
