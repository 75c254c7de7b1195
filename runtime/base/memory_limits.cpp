#include "runtime/base/memory_limits.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>

#include "runtime/base/sandbox.h"
#include "runtime/base/system_call.h"

namespace coshim {

namespace {

bool is_limited(int resource) {
  rlimit limit{};
  if (noted_seccomp()) return true;  // not to be asked any more
  return sys::call(SYS_prlimit64, 0, resource, nullptr, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool reads_never_overcommit() {
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char policy = '0';
  sys::call(SYS_read, fd, &policy, 1);
  sys::call(SYS_close, fd);
  return policy == '2';
}

// Asked once: a system does not change it.
bool never_overcommits() {
  static std::atomic<int> answer{-1};
  int known = answer.load(std::memory_order_relaxed);
  if (known < 0) answer.store(known = reads_never_overcommit() ? 1 : 0);
  return known == 1;
}

}  // namespace

bool writable_memory_is_limited() {
  return is_limited(RLIMIT_DATA);
}

bool mapped_memory_is_limited() {
  return is_limited(RLIMIT_AS) || is_limited(RLIMIT_DATA) || never_overcommits();
}

}  // namespace coshim
