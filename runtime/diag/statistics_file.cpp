// The live statistics file: made when somebody asks, gone when nobody has asked for a while (a lease) and at
// exit. No descriptor stays open: the file is mapped.
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime/base/log.h"
#include "runtime/diag/statistics.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"

namespace coshim {

namespace {

std::atomic<bool> g_asked{false};
SpinLock g_lock;     // what follows; taken by the monitor, and by an exit
Statistics* g_file;  // mapped by g_owner alone: a fork's child has neither mapping nor file
pid_t g_owner;
uint64_t g_sequence;  // goes on from file to file
bool g_ended, g_told;
std::atomic<Nanoseconds> g_lease_end{kForever};

bool have_file() {
  return g_file != nullptr && g_owner == sys::getpid();
}

void drop_file(bool unlink) {
  if (have_file()) {
    char path[64];
    shared_file_path(path, sizeof(path), kStatisticsSuffix);
    if (unlink) sys::call(SYS_unlinkat, AT_FDCWD, path, 0);
    sys::call(SYS_munmap, g_file, sizeof(Statistics));
  }
  g_file = nullptr;
  g_lease_end.store(kForever);
}

// A killed process with our number left its file: ours to remove, if it is our user's. Somebody else's can't
// be removed in a sticky directory, and then there is no file for us.
long create(const char* path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  long fd = sys::call(SYS_openat, AT_FDCWD, path, kFlags, 0600);
  if (fd != -EEXIST) return fd;
  sys::call(SYS_unlinkat, AT_FDCWD, path, 0);
  return sys::call(SYS_openat, AT_FDCWD, path, kFlags, 0600);
}

bool make_file() {
  char path[64];
  shared_file_path(path, sizeof(path), kStatisticsSuffix);
  long fd = create(path);
  long memory = fd;
  if (fd >= 0) {
    sys::call(SYS_fchmod, fd, 0600);  // whatever the umask
    memory = sys::call(SYS_ftruncate, fd, sizeof(Statistics));
    // Allocated now: a full /dev/shm is an error here, not a SIGBUS later.
    if (memory == 0) memory = sys::call(SYS_fallocate, fd, 0, 0, sizeof(Statistics));
    if (memory == 0)
      memory = sys::call(SYS_mmap, nullptr, sizeof(Statistics), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sys::close(static_cast<int>(fd));
    if (memory < 0 && memory > -4096) sys::call(SYS_unlinkat, AT_FDCWD, path, 0);
  }
  if (memory < 0 && memory > -4096) {
    if (!g_told) COSHIM_LOG(warn, "live statistics: can't make %s (error %ld)", path, -memory);
    g_told = true;
    return false;
  }
  g_file = reinterpret_cast<Statistics*>(memory);
  sys::call(SYS_madvise, g_file, sizeof(Statistics), MADV_DONTFORK);
  g_owner = sys::getpid();
  return true;
}

// Somebody has unlinked it: whoever asks now would not find it.
bool still_there() {
  char path[64];
  shared_file_path(path, sizeof(path), kStatisticsSuffix);
  struct stat status {};
  return sys::call(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

void shared_file_path(char* buffer, size_t size, const char* suffix) {
  format_text(buffer, size, kSharedFileFormat, static_cast<unsigned>(sys::call(SYS_geteuid)), sys::getpid(),
              suffix);
}

void statistics_ask() {
  g_asked.store(true, std::memory_order_release);
}

bool statistics_asked() {
  return g_asked.load(std::memory_order_acquire);
}

void statistics_refresh_if_asked() {
  if (!g_asked.exchange(false, std::memory_order_acq_rel)) return;
  static Statistics collected;  // the monitor's alone; too large for its stack
  collect_statistics(&collected);
  SpinGuard guard(g_lock);
  if (g_ended) return;
  if (!have_file() || !still_there()) {
    drop_file(false);
    if (!make_file()) return;
  }
  g_lease_end.store(deadline_after(kStatisticsLeaseSeconds * Nanoseconds{1000000000}));
  collected.sequence = ++g_sequence;
  __atomic_store_n(&g_file->sequence, g_sequence, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  __builtin_memcpy(g_file, &collected, sizeof(collected));
  __atomic_store_n(&g_file->sequence, ++g_sequence, __ATOMIC_RELEASE);
}

Nanoseconds statistics_lease_end() {
  return g_lease_end.load();
}

void statistics_end_lease() {
  if (monotonic_now() < g_lease_end.load()) return;
  SpinGuard guard(g_lock);
  drop_file(true);
}

void statistics_remove() {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  g_ended = true;
  drop_file(true);
}

void statistics_after_fork_in_child() {
  g_lock.reset();
  g_file = nullptr;
  g_ended = false;
  g_asked.store(false);
  g_lease_end.store(kForever);
}

}  // namespace coshim
