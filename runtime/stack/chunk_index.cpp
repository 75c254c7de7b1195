#include "runtime/stack/chunk_index.h"

#include <string.h>
#include <sys/mman.h>

#include "runtime/base/system_call.h"

namespace coshim {

namespace {

constexpr size_t kMaximumChunks = 1 << 16;
constexpr int kPatience = 100;

void* reserve(size_t size) {
  long result = sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

}  // namespace

bool ChunkIndex::add(const Chunk& chunk) {
  if (chunks_ == nullptr) {
    auto* memory = static_cast<char*>(reserve(kMaximumChunks * (sizeof(Chunk) + sizeof(uint32_t))));
    if (memory == nullptr) return false;
    sorted_ = reinterpret_cast<uint32_t*>(memory + kMaximumChunks * sizeof(Chunk));
    chunks_ = reinterpret_cast<Chunk*>(memory);
  }
  size_t count = count_.load(std::memory_order_relaxed);
  if (count == kMaximumChunks) return false;
  chunks_[count] = chunk;
  size_t at = count;
  while (at > 0 && chunks_[sorted_[at - 1]].base > chunk.base) --at;
  version_.fetch_add(1, std::memory_order_acq_rel);
  memmove(sorted_ + at + 1, sorted_ + at, (count - at) * sizeof(uint32_t));
  sorted_[at] = static_cast<uint32_t>(count);
  count_.store(count + 1, std::memory_order_release);
  version_.fetch_add(1, std::memory_order_release);
  return true;
}

const Chunk* ChunkIndex::search(const void* address) const {
  size_t low = 0, high = count_.load(std::memory_order_acquire);
  while (low < high) {
    size_t middle = (low + high) / 2;
    const Chunk& chunk = chunks_[__atomic_load_n(&sorted_[middle], __ATOMIC_RELAXED)];
    if (chunk.contains(address)) return &chunk;
    if (chunk.base > address) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return nullptr;
}

const Chunk* ChunkIndex::find(const void* address) const {
  for (int round = 0; round < kPatience; ++round) {
    uint32_t version = version_.load(std::memory_order_acquire);
    if (version % 2 != 0) continue;
    const Chunk* found = search(address);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (found != nullptr || version_.load(std::memory_order_relaxed) == version) return found;
  }
  size_t count = count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    if (chunks_[i].contains(address)) return &chunks_[i];
  }
  return nullptr;
}

}  // namespace coshim
