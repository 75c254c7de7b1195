// How far the program's own descriptors reach, whatever number the shim's have.
#include <fcntl.h>

#include "runtime/io/descriptor_table.h"
#include "runtime/io/poller.h"

namespace coshim {

namespace {

// Of those that are seen to be opened.
std::atomic<int> g_highest_opened{-1};
// What was open already, asked once a process (poller epoch in the upper half).
std::atomic<uint64_t> g_found{0};

bool is_programs(int fd) {
  return !descriptor_is_hidden(fd) && sys::call(SYS_fcntl, fd, F_GETFD) >= 0;
}

int found_at_first() {
  constexpr int kFarthest = 65536;  // what was open beyond it before the first thread is not looked for
  const uint64_t epoch = poller_epoch();
  uint64_t known = g_found.load(std::memory_order_acquire);
  if (known >> 32 == epoch) return static_cast<int>(static_cast<uint32_t>(known));
  int fd = kFarthest;
  do {
    --fd;
  } while (fd >= kSmallestTable && !is_programs(fd));
  g_found.store(epoch << 32 | static_cast<uint32_t>(fd), std::memory_order_release);
  return fd;
}

}  // namespace

void note_opened(int fd) {
  int highest = g_highest_opened.load(std::memory_order_relaxed);
  while (__builtin_expect(fd > highest, 0) && !g_highest_opened.compare_exchange_weak(highest, fd)) {
  }
}

int within_program_table(int count) {
  constexpr int kWord = 64;
  if (count <= kSmallestTable || !g_descriptors_active.load(std::memory_order_relaxed)) return count;
  if (is_programs(count - 1)) return count;
  int highest = found_at_first();
  int opened = g_highest_opened.load(std::memory_order_acquire);
  if (opened > highest) highest = opened;
  int limit = (highest / kWord + 1) * kWord;
  if (limit < kSmallestTable) limit = kSmallestTable;
  return count < limit ? count : limit;
}

}  // namespace coshim
