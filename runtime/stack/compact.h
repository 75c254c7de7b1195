// The compact form of a stretch of stack: which of its 64-bit words are not zero, and those words. Most of a
// thread's TLS and struct pthread is zero, and so is what lies below the live part of a stack, so both become
// small by one mechanism (DESIGN §4).
//
//   CompactStack | bitmap, one bit a word, from the lowest | the words that are not zero, in order
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace coshim {

struct CompactStack {
  char* low;            // where the stretch lies, page-aligned
  uint32_t pages;       // its length
  uint32_t word_count;  // words that are not zero
  uint64_t* bitmap() { return reinterpret_cast<uint64_t*>(this + 1); }
  const uint64_t* bitmap() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  size_t bitmap_words() const { return size_t{pages} * 8; }
  const uint64_t* words() const { return bitmap() + bitmap_words(); }
  size_t size() const { return sizeof(*this) + 8 * (bitmap_words() + word_count); }
};

// What the compact form of `pages` pages from `low` on takes, counting as zero all that lies below `live`.
size_t compact_size(const char* low, size_t pages, const char* live);
// Into `area` of that size. The stretch must not have changed since.
CompactStack* compact_encode(void* area, const char* low, size_t pages, const char* live);

// Reads the pages of a compact stack one after the other, from the lowest.
class CompactReader {
 public:
  explicit CompactReader(const CompactStack* stack) : stack_(stack), next_word_(stack->words()) {}
  bool done() const { return page_ == stack_->pages; }
  void read_page(char* page);

 private:
  const CompactStack* stack_;
  const uint64_t* next_word_;
  uint32_t page_ = 0;
};

// The 64-bit word at `address`, which may be anything; false where it is not in the stretch. For the dump.
bool compact_word_at(const CompactStack* stack, uintptr_t address, uint64_t* word);

}  // namespace coshim
