// Which chunk of slots an address lies in (runtime/stack/slot.h): asked by the SIGSEGV handler, and by every
// hook that is given an address in somebody's stack, so without a lock and, with a million threads, without a
// walk.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace coshim {

struct StackSlot;

struct Chunk {
  char* base;
  size_t slot_size;
  size_t count;
  StackSlot* slots;
  size_t block_slots;  // runtime/stack/cold_block.h
  bool contains(const void* address) const {
    return static_cast<const char*>(address) >= base &&
           static_cast<const char*>(address) < base + slot_size * count;
  }
};

class ChunkIndex {
 public:
  // False when memory ends. One writer at a time.
  bool add(const Chunk& chunk);
  const Chunk* find(const void* address) const;
  size_t count() const { return count_.load(std::memory_order_acquire); }
  const Chunk& operator[](size_t index) const { return chunks_[index]; }

 private:
  const Chunk* search(const void* address) const;

  Chunk* chunks_ = nullptr;  // append-only, reserved on first use
  std::atomic<size_t> count_{0};
  // The chunks by address, from the lowest. Odd while it is changed: a handler may have interrupted the
  // writer.
  uint32_t* sorted_ = nullptr;
  std::atomic<uint32_t> version_{0};
};

}  // namespace coshim
