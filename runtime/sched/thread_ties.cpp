#include "runtime/sched/thread_ties.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "runtime/base/system_call.h"
#include "runtime/io/ring.h"

namespace coshim {

namespace {

constexpr char kRing[] = "anon_inode:[io_uring]";

// getdents64(2)
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[];
};

int number_of(const char* name) {
  int number = 0;
  for (; *name >= '0' && *name <= '9'; ++name) number = number * 10 + (*name - '0');
  return number;
}

bool is_ring_of_program(int directory, const char* name) {
  char target[sizeof(kRing)];
  long length = sys::call(SYS_readlinkat, directory, name, target, sizeof(target));
  return length == sizeof(kRing) - 1 && memcmp(target, kRing, sizeof(kRing) - 1) == 0 &&
         !is_own_ring(number_of(name));
}

bool has_ring() {
  auto directory =
      static_cast<int>(sys::call(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory < 0) return true;  // who knows
  alignas(8) char entries[4096] = {};
  bool found = false;
  long length;
  while (!found && (length = sys::call(SYS_getdents64, directory, entries, sizeof(entries))) > 0) {
    for (long at = 0; at < length && !found;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries + at);
      found = is_ring_of_program(directory, entry->name);
      at += entry->length;
    }
  }
  sys::close(directory);
  return found;
}

bool has_child() {
  siginfo_t info;
  return sys::call(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, nullptr) != -ECHILD;
}

}  // namespace

bool threads_may_be_tied() {
  return has_child() || has_ring();
}

}  // namespace coshim
