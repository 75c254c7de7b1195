#include "runtime/base/private_memory.h"

#include <fcntl.h>
#include <stdint.h>

#include <atomic>

#include "runtime/base/system_call.h"

namespace coshim {

namespace {

struct Range {
  uintptr_t low, high;
};

// Known ranges, each guarded by a sequence number: odd while it is written.
constexpr unsigned kRanges = 16;
struct Entry {
  std::atomic<uint32_t> sequence{0};
  std::atomic<uintptr_t> low{0}, high{0};
  std::atomic<uint32_t> generation{0};
};
Entry g_entries[kRanges];
std::atomic<uint32_t> g_generation{1};
std::atomic<uint32_t> g_next{0};

bool known(uintptr_t address) {
  const uint32_t generation = g_generation.load(std::memory_order_seq_cst);
  for (Entry& entry : g_entries) {
    uint32_t before = entry.sequence.load(std::memory_order_acquire);
    bool inside = address >= entry.low.load(std::memory_order_relaxed) &&
                  address < entry.high.load(std::memory_order_relaxed) &&
                  entry.generation.load(std::memory_order_relaxed) == generation;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (inside && (before & 1) == 0 && entry.sequence.load(std::memory_order_relaxed) == before) return true;
  }
  return false;
}

void remember(const Range& range, uint32_t generation) {
  Entry& entry = g_entries[g_next.fetch_add(1, std::memory_order_relaxed) % kRanges];
  uint32_t sequence = entry.sequence.load(std::memory_order_relaxed);
  if ((sequence & 1) != 0 || !entry.sequence.compare_exchange_strong(sequence, sequence + 1)) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  entry.low.store(range.low, std::memory_order_relaxed);
  entry.high.store(range.high, std::memory_order_relaxed);
  entry.generation.store(generation, std::memory_order_relaxed);
  entry.sequence.store(sequence + 2, std::memory_order_release);
}

// linux/fs.h of Linux 6.11: PROCMAP_QUERY.
struct MapQuery {
  uint64_t size, flags, address, low, high, map_flags, page_size, offset, inode;
  uint32_t device_major, device_minor, name_size, build_id_size;
  uint64_t name, build_id;
};
static_assert(sizeof(MapQuery) == 104, "as the kernel's");
constexpr unsigned long kProcMapQuery = 0xC0686611;
constexpr uint64_t kShared = 8;

enum class Answer { no, yes, unknown };

Answer ask_for_one(int fd, uintptr_t address, Range* range) {
  MapQuery query{};
  query.size = sizeof(query);
  query.address = address;
  long result = sys::call(SYS_ioctl, fd, kProcMapQuery, &query);
  if (result == -2 /* ENOENT */) return Answer::no;
  if (result != 0) return Answer::unknown;
  *range = {query.low, query.high};
  return (query.map_flags & kShared) != 0 ? Answer::no : Answer::yes;
}

// "low-high rwxp ...": hexadecimal digits and the fourth letter are enough.
class MapsReader {
 public:
  explicit MapsReader(int fd) : fd_(fd) {}
  Answer find(uintptr_t address, Range* range) {
    for (;;) {
      if (!number('-', &range->low) || !number(' ', &range->high)) return Answer::no;
      char letters[4];
      for (char& letter : letters) letter = static_cast<char>(next());
      if (address >= range->low && address < range->high) return letters[3] == 'p' ? Answer::yes : Answer::no;
      for (int c = next(); c != '\n'; c = next()) {
        if (c < 0) return Answer::no;
      }
    }
  }

 private:
  int next() {
    if (place_ == filled_) {
      filled_ = sys::call(SYS_read, fd_, buffer_, sizeof(buffer_));
      place_ = 0;
      if (filled_ <= 0) return filled_ = 0, -1;
    }
    return static_cast<unsigned char>(buffer_[place_++]);
  }
  bool number(int end, uintptr_t* value) {
    *value = 0;
    for (int c = next(); c != end; c = next()) {
      if (c < 0) return false;
      *value = *value * 16 + static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
  }

  int fd_;
  long place_ = 0, filled_ = 0;
  char buffer_[1024] = {};
};

}  // namespace

bool is_private_memory(const void* pointer) {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  if (known(address)) return true;
  const uint32_t generation = g_generation.load(std::memory_order_seq_cst);
  auto fd = static_cast<int>(sys::call(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC));
  if (fd < 0) return false;
  Range range{};
  Answer answer = ask_for_one(fd, address, &range);
  if (answer == Answer::unknown) answer = MapsReader(fd).find(address, &range);
  sys::close(fd);
  if (answer == Answer::yes) remember(range, generation);
  return answer == Answer::yes;
}

void forget_private_memory() {
  g_generation.fetch_add(1, std::memory_order_seq_cst);
}

}  // namespace coshim
