// What we know of each open descriptor, and who waits on it. An entry is learned at first use; the hooks of
// calls that open and close descriptors keep it true. Entries are type-stable.
#pragma once

#include <stdint.h>

#include <atomic>

#include "runtime/base/list.h"
#include "runtime/base/spin_lock.h"
#include "runtime/io/await.h"
#include "runtime/thread/thread.h"

namespace coshim {

// Where a waiter that was woken goes on (WaitNode::key): at this number, hidden or its own, or
constexpr uintptr_t kNothingLeft = ~uintptr_t{0};  // nowhere: EBADF
constexpr uintptr_t kStartAfresh = ~uintptr_t{1};  // as if its call began now

using WaiterList = List<WaitNode, &WaitNode::link>;

struct alignas(64) DescriptorEntry {
  // In fresh zero pages an entry reads as generation 0: never used.
  struct Unpublished {};
  DescriptorEntry() = default;
  explicit DescriptorEntry(Unpublished) : generation(0) {}

  SpinLock lock;
  // Guarded by lock, read without it where a stale answer is harmless.
  std::atomic<uint32_t> generation{1};       // raised by close and by every hook that opens
  std::atomic<uint32_t> registered_with{0};  // the poller epoch it is registered with; 0: not registered
  std::atomic<uint32_t> read_events{0};      // readable edges seen so far
  std::atomic<uint32_t> write_events{0};
  std::atomic<uint32_t> read_drained_at{~0u};  // read_events when a short read was seen
  std::atomic<uint32_t> write_drained_at{~0u};
  std::atomic<DescriptorKind> kind{DescriptorKind::unknown};
  bool hidden = false;  // the shim's own
  // A hook saw it opened. If not (inherited, or opened inside libc, as syslog does), it may also be closed
  // and opened again unseen: then what we know is verified before each wait.
  bool seen_opened = false;
  bool never_skip = false;  // HUP, RDHUP, ERR or PRI seen: always try before parking
  bool nonblocking = false;
  uint8_t without_nowait = 0;                  // directions in which RWF_NOWAIT gave EOPNOTSUPP
  uint8_t accepts = 0;                         // a listener: 1 TCP, 2 other, 0 not asked yet
  uint8_t timeouts_known = 0;                  // bit per Direction
  std::atomic<uint32_t> nonblocking_epoch{0};  // flags epoch for which `nonblocking` holds; 0: ask
  uint32_t exclusive_epoch =
      0;  // == g_fork_epoch: made here since the last fork, nobody else has the description
  uint32_t moved_users = 0;  // a hidden number that waiters of a closed descriptor still use
  uint64_t inode = 0;        // of one that nobody saw opened, when its kind was learned
  Nanoseconds timeout[2] = {kForever, kForever};  // as intervals
  WaiterList waiters[2];
};
static_assert(sizeof(DescriptorEntry) == 128, "two cache lines");

constexpr int kMaximumDescriptors = 1 << 22;

// The highest number that was ever used here; -1: none.
int highest_descriptor();

// The kernel looks at no more bits of select(2)'s sets than its table of descriptors has room for, and
// programs that give getdtablesize() with sets of FD_SETSIZE bits live on that. With the shim's descriptors
// the table is longer: so `count`, but not beyond the program's own highest, nor below what every set has.
constexpr int kSmallestTable = 1024;
int within_program_table(int count);
void note_opened(int fd);  // by descriptor_opened()

// Null where fd is negative or beyond what the table can hold.
DescriptorEntry* descriptor_entry(int fd);
// The same without making one.
DescriptorEntry* descriptor_entry_if_known(int fd);

// To be called by hooks. `descriptor_opened` after a call gave a new descriptor (forgets what stood there);
// `descriptor_closing` before the real close, dup2 over, ...: wakes the waiters, who then see the new
// generation. Both do nothing before the first coroutine exists.
void descriptor_opened(int fd, DescriptorKind kind = DescriptorKind::unknown, bool exclusive = false);
void descriptor_closing(int fd);
void descriptor_range_closing(unsigned first, unsigned last);
// After the real close: those who came in between look again.
void descriptor_closed(int fd);
void descriptor_range_closed(unsigned first, unsigned last);
// One of those who go on waiting on a hidden number, after a close, leaves it. True: it is closed now.
bool leave_moved(DescriptorEntry* entry, int hidden);
// fcntl(F_SETFL), ioctl(FIONBIO), also through other descriptors of the same description: cached flags are
// asked again.
void descriptor_flags_changed();
// setsockopt(SO_RCVTIMEO/SO_SNDTIMEO), listen(), connect() and the like: learn again.
void descriptor_attributes_changed(int fd);

// May other processes have its open file description?
bool descriptor_is_shared(int fd);

// The shim's own descriptors (epoll, eventfd, ...) are hidden from close, dup2, close_range, fcntl.
bool descriptor_is_hidden(int fd);
// Moves `fd` to the top of the table, close-on-exec, and hides it. Returns the new number or -errno (fd is
// closed). `for_long`: where possible above RLIMIT_NOFILE, so that the program can open as many as natively.
int hide_descriptor(int fd, bool for_long = false);
void close_hidden_descriptor(int fd);
// A hidden descriptor gives up its number to the program (dup2 onto it): it moves. False: it can't.
bool move_hidden_descriptor(int fd);

// Set when the first coroutine is created; before, the hooks above cost one branch.
extern std::atomic<bool> g_descriptors_active;

// For descriptor_close.cpp. A new generation; with the entry's lock held.
void forget_descriptor(DescriptorEntry* entry);
// Not in the child of a vfork: it runs in its parent's memory, with descriptors of its own.
bool keeps_descriptor_books();
// Raised by fork: what was exclusive is shared.
extern std::atomic<uint32_t> g_fork_epoch;

// A process that forks shares its open file descriptions from then on.
void descriptors_forking();
void descriptors_reset_after_fork();

// Registers the entry's descriptor with the poller if it isn't yet. 0, -EPERM (always ready) or another
// -errno.
int register_descriptor(DescriptorEntry* entry, int fd);

}  // namespace coshim
