#include "runtime/io/descriptor_table.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <new>

#include "runtime/io/poller.h"
#include "runtime/io/ring.h"
#include "runtime/stack/pager.h"
#include "runtime/thread/critical.h"
#include "runtime/wait/parker.h"

namespace coshim {

std::atomic<bool> g_descriptors_active{false};
std::atomic<uint32_t> g_fork_epoch{1};

namespace {

constexpr int kPerPage = 4096;
constexpr int kPages = kMaximumDescriptors / kPerPage;
std::atomic<DescriptorEntry*> g_pages[kPages];
std::atomic<uint32_t> g_flags_epoch{1};
std::atomic<int> g_highest{-1};

DescriptorEntry* make_page(int index) {
  long memory = sys::call(SYS_mmap, nullptr, sizeof(DescriptorEntry) * kPerPage, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory < 0 && memory > -4096) return nullptr;
  // Zero is not every member's first value, so an entry is constructed when its number is first used
  // (generation 0: never).
  auto* page = reinterpret_cast<DescriptorEntry*>(memory);
  DescriptorEntry* expected = nullptr;
  if (g_pages[index].compare_exchange_strong(expected, page)) return page;
  sys::call(SYS_munmap, memory, sizeof(DescriptorEntry) * kPerPage);
  return expected;
}

// Guards the first construction of an entry.
SpinLock g_construction_lock;

DescriptorEntry* construct(DescriptorEntry* entry, int fd) {
  CriticalSection critical;
  SpinGuard guard(g_construction_lock);
  if (entry->generation.load(std::memory_order_acquire) != 0) return entry;
  new (entry) DescriptorEntry(DescriptorEntry::Unpublished{});
  entry->generation.store(1, std::memory_order_release);
  int highest = g_highest.load();
  while (fd > highest && !g_highest.compare_exchange_weak(highest, fd)) {
  }
  return entry;
}

// No SCTP and no kernel TLS (tcp(7), TCP_ULP): these end a transfer at a record, with more to come.
bool is_plain_tcp(int fd) {
  int protocol = 0;
  socklen_t length = sizeof(protocol);
  sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
  char upper[16] = {};
  length = sizeof(upper);
  sys::call(SYS_getsockopt, fd, IPPROTO_TCP, TCP_ULP, upper, &length);
  return protocol == IPPROTO_TCP && upper[0] == 0;
}

DescriptorKind learn_socket_kind(int fd) {
  int type = 0, domain = 0, listening = 0;
  socklen_t length = sizeof(int);
  if (sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    return DescriptorKind::other_socket;
  sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (listening != 0) return DescriptorKind::listening_socket;
  bool stream = type == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6) && is_plain_tcp(fd);
  return stream ? DescriptorKind::stream_socket : DescriptorKind::other_socket;
}

DescriptorKind learn_kind(int fd) {
  struct stat status {};
  if (sys::call(SYS_fstat, fd, &status) != 0) return DescriptorKind::bad;
  switch (status.st_mode & S_IFMT) {
    case S_IFSOCK:
      return learn_socket_kind(fd);
    case S_IFIFO:
      return DescriptorKind::nowait_file;
    case S_IFREG:
    case S_IFDIR:
    case S_IFBLK:
      return DescriptorKind::always_ready;
    default:
      return DescriptorKind::pollable;
  }
}

}  // namespace

void forget_descriptor(DescriptorEntry* entry) {
  entry->generation.fetch_add(1, std::memory_order_acq_rel);
  entry->registered_with.store(0, std::memory_order_relaxed);
  entry->kind.store(DescriptorKind::unknown, std::memory_order_relaxed);
  entry->read_drained_at.store(~0U, std::memory_order_relaxed);
  entry->write_drained_at.store(~0U, std::memory_order_relaxed);
  entry->never_skip = false;
  entry->nonblocking_epoch.store(0, std::memory_order_relaxed);
  entry->exclusive_epoch = 0;
  entry->accepts = 0;
  entry->without_nowait = 0;
  entry->seen_opened = false;
  entry->inode = 0;
  entry->timeouts_known = 0;
}

// The child of a vfork runs in its parent's memory, with descriptors of its own.
bool keeps_descriptor_books() {
  return g_descriptors_active.load(std::memory_order_relaxed) && !t_local.vfork_child;
}

int highest_descriptor() {
  return g_highest.load(std::memory_order_acquire);
}

DescriptorEntry* descriptor_entry_if_known(int fd) {
  if (fd < 0 || fd >= kMaximumDescriptors) return nullptr;
  DescriptorEntry* page = g_pages[fd / kPerPage].load(std::memory_order_acquire);
  if (page == nullptr) return nullptr;
  DescriptorEntry* entry = &page[fd % kPerPage];
  return entry->generation.load(std::memory_order_acquire) != 0 ? entry : nullptr;
}

DescriptorEntry* descriptor_entry(int fd) {
  if (fd < 0 || fd >= kMaximumDescriptors) return nullptr;
  DescriptorEntry* page = g_pages[fd / kPerPage].load(std::memory_order_acquire);
  if (page == nullptr) page = make_page(fd / kPerPage);
  if (page == nullptr) return nullptr;
  DescriptorEntry* entry = &page[fd % kPerPage];
  return entry->generation.load(std::memory_order_acquire) != 0 ? entry : construct(entry, fd);
}

namespace {

// A number that nobody saw opened: does it still stand for the file that we know? Else forget what we know.
void verify(DescriptorEntry* entry, int fd) {
  struct stat status {};
  uint64_t inode = sys::call(SYS_fstat, fd, &status) == 0 ? status.st_ino ^ (status.st_dev << 40) : 0;
  if (entry->inode == inode) return;
  CriticalSection critical;
  SpinGuard guard(entry->lock);
  if (entry->waiters[0].empty() && entry->waiters[1].empty()) forget_descriptor(entry);
  entry->inode = inode;
}

}  // namespace

DescriptorKind descriptor_kind(int fd) {
  DescriptorEntry* entry = descriptor_entry(fd);
  if (entry == nullptr) return learn_kind(fd);
  if (!entry->seen_opened) verify(entry, fd);
  DescriptorKind kind = entry->kind.load(std::memory_order_relaxed);
  if (kind != DescriptorKind::unknown) return kind;
  kind = learn_kind(fd);
  if (kind != DescriptorKind::bad) entry->kind.store(kind, std::memory_order_relaxed);
  return kind;
}

bool program_wants_nonblocking(int fd) {
  DescriptorEntry* entry = descriptor_entry(fd);
  uint32_t epoch = g_flags_epoch.load(std::memory_order_acquire);
  bool cacheable = entry != nullptr && entry->exclusive_epoch == g_fork_epoch.load(std::memory_order_relaxed);
  if (cacheable && entry->nonblocking_epoch.load(std::memory_order_acquire) == epoch)
    return entry->nonblocking;
  long flags = sys::call(SYS_fcntl, fd, F_GETFL);
  bool nonblocking = flags >= 0 && (flags & O_NONBLOCK) != 0;
  if (cacheable) {
    entry->nonblocking = nonblocking;
    entry->nonblocking_epoch.store(epoch, std::memory_order_release);
  }
  return nonblocking;
}

Nanoseconds descriptor_timeout(int fd, Direction direction) {
  DescriptorEntry* entry = descriptor_entry(fd);
  auto index = static_cast<unsigned>(direction);
  if (entry != nullptr && (entry->timeouts_known & (1U << index)) != 0) {
    Nanoseconds interval = entry->timeout[index];
    return interval == kForever ? kForever : deadline_after(interval);
  }
  timeval value{};
  socklen_t length = sizeof(value);
  int option = direction == Direction::readable ? SO_RCVTIMEO : SO_SNDTIMEO;
  Nanoseconds interval = kForever;
  if (sys::call(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &length) == 0 &&
      (value.tv_sec != 0 || value.tv_usec != 0)) {
    interval = to_nanoseconds(timespec{value.tv_sec, value.tv_usec * 1000});
  }
  if (entry != nullptr) {
    entry->timeout[index] = interval;
    __atomic_fetch_or(&entry->timeouts_known, static_cast<uint8_t>(1U << index), __ATOMIC_RELEASE);
  }
  return interval == kForever ? kForever : deadline_after(interval);
}

void descriptor_flags_changed() {
  g_flags_epoch.fetch_add(1, std::memory_order_acq_rel);
}

void descriptor_attributes_changed(int fd) {
  if (!keeps_descriptor_books()) return;
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  if (entry == nullptr) return;
  __atomic_store_n(&entry->timeouts_known, static_cast<uint8_t>(0), __ATOMIC_RELEASE);
  entry->kind.store(DescriptorKind::unknown, std::memory_order_relaxed);
}

bool descriptor_is_shared(int fd) {
  const DescriptorEntry* entry = descriptor_entry_if_known(fd);
  return entry == nullptr || entry->exclusive_epoch != g_fork_epoch.load(std::memory_order_relaxed);
}

bool descriptor_is_hidden(int fd) {
  if (!g_descriptors_active.load(std::memory_order_relaxed)) return false;
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  return entry != nullptr && entry->hidden;
}

namespace {

// Not at the very top of a huge table: the kernel's own table is as long as the highest number, and fork
// copies it.
constexpr rlim_t kHighest = 8192, kRoom = 64;

rlim_t smaller(rlim_t a, rlim_t b) {
  return a < b ? a : b;
}

long duplicate_at_top(int fd, rlim_t top) {
  long result = -EMFILE;
  for (auto lowest = static_cast<long>(smaller(top, kHighest) - kRoom); lowest > 2 && result < 0;
       lowest /= 2) {
    result = sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, lowest);
  }
  return result;
}

// Above the program's limit, where it can't be missed: the limit is raised for a moment.
long duplicate_above(int fd, const rlimit& limit) {
  rlimit raised = limit;
  raised.rlim_cur = smaller(limit.rlim_max, kHighest);
  if (raised.rlim_cur < limit.rlim_cur + kRoom) return -EMFILE;
  if (sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, &raised, nullptr) != 0) return -EPERM;
  long result = duplicate_at_top(fd, raised.rlim_cur);
  sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
  return result;
}

}  // namespace

int hide_descriptor(int fd, bool for_long) {
  if (fd < 0) return fd;
  rlimit limit{1024, 1024};
  sys::call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  long result = for_long ? duplicate_above(fd, limit) : -EMFILE;
  if (result < 0) result = duplicate_at_top(fd, limit.rlim_cur);
  if (result < 0) {
    sys::close(fd);
    return static_cast<int>(result);
  }
  sys::close(fd);
  DescriptorEntry* entry = descriptor_entry(static_cast<int>(result));
  if (entry != nullptr) {
    CriticalSection critical;
    SpinGuard guard(entry->lock);
    forget_descriptor(entry);
    entry->hidden = true;
  }
  return static_cast<int>(result);
}

bool move_hidden_descriptor(int fd) {
  // A duplicate first: hide_descriptor closes what it is given, and finds a number that is free.
  int moved = hide_descriptor(static_cast<int>(sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0)));
  if (moved < 0) return false;
  if (!poller_moved(fd, moved) && !ring_moved(fd, moved) && !pager_moved(fd, moved)) {
    close_hidden_descriptor(moved);
    return false;
  }
  DescriptorEntry* entry = descriptor_entry(fd);
  CriticalSection critical;
  SpinGuard guard(entry->lock);
  forget_descriptor(entry);
  entry->hidden = false;
  return true;
}

void close_hidden_descriptor(int fd) {
  DescriptorEntry* entry = descriptor_entry_if_known(fd);
  if (entry != nullptr) {
    CriticalSection critical;
    SpinGuard guard(entry->lock);
    forget_descriptor(entry);
    entry->hidden = false;
  }
  sys::close(fd);
}

int register_descriptor(DescriptorEntry* entry, int fd) {
  uint32_t epoch = poller_epoch();
  if (entry->seen_opened && entry->registered_with.load(std::memory_order_acquire) == epoch) return 0;
  CriticalSection critical;
  SpinGuard guard(entry->lock);
  if (entry->seen_opened && entry->registered_with.load(std::memory_order_relaxed) == epoch) return 0;
  int error = poller_register(fd, entry->generation.load(std::memory_order_relaxed));
  if (error == 0) entry->registered_with.store(epoch, std::memory_order_release);
  return error;
}

bool leave_moved(DescriptorEntry* entry, int hidden) {
  CriticalSection critical;
  {
    SpinGuard guard(entry->lock);
    if (--entry->moved_users != 0) return false;
    entry->generation.fetch_add(1);
    // While another descriptor of the description is open, the kernel would keep the registration.
    if (entry->registered_with.exchange(0) == poller_epoch()) poller_unregister(hidden);
    entry->hidden = false;
  }
  sys::close(hidden);
  return true;
}

void descriptors_forking() {
  g_fork_epoch.fetch_add(1, std::memory_order_acq_rel);
  descriptor_flags_changed();
}

void descriptors_reset_after_fork() {
  g_construction_lock.reset();
  int highest = g_highest.load();
  for (int fd = 0; fd <= highest; ++fd) {
    DescriptorEntry* entry = descriptor_entry_if_known(fd);
    if (entry == nullptr) continue;
    entry->lock.reset();
    forget_descriptor(entry);
    entry->hidden = false;
    entry->moved_users = 0;
    entry->waiters[0].clear();
    entry->waiters[1].clear();
  }
}

}  // namespace coshim
