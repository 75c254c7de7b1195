// The compact form of a stretch of stack: which of its 64-bit words are not zero, and those words. Most of a
// thread's TLS and struct pthread is zero, and so is what lies below the live part of a stack, so both become
// small by one mechanism (DESIGN §4).
//
//   CompactStack | bitmap, one bit a word, from the lowest | a tag of two bits for each word that is not
//   zero, in order, 32 to a word of 64 bits | the words, in pieces of 32 bits
//
// The words are pointers for the most part, and small numbers. So a tag says which 32 bits stand above the
// piece:
//   0 zero   1 those of the stretch's own address   2 those of the latest word with tag 3   3 the next piece
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace coshim {

struct CompactStack {
  char* low;            // where the stretch lies, page-aligned
  uint32_t pages;       // its length
  uint32_t word_count;  // words that are not zero
  uint64_t piece_count;
  uint64_t* bitmap() { return reinterpret_cast<uint64_t*>(this + 1); }
  const uint64_t* bitmap() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  size_t bitmap_words() const { return size_t{pages} * 8; }
  size_t tag_words() const { return (size_t{word_count} + 31) / 32; }
  const uint64_t* tags() const { return bitmap() + bitmap_words(); }
  const uint32_t* pieces() const { return reinterpret_cast<const uint32_t*>(tags() + tag_words()); }
  size_t size() const { return sizeof(*this) + 8 * (bitmap_words() + tag_words()) + 4 * piece_count; }
};

// What the compact form of `pages` pages from `low` on takes, counting as zero all that lies below `live`:
// the head, of which only the counts are filled in.
CompactStack compact_measure(const char* low, size_t pages, const char* live);
// Into `area` of measured.size() bytes. The stretch must not have changed since.
CompactStack* compact_encode(void* area, const CompactStack& measured, const char* live);

// Reads the words that are not zero one after the other.
class CompactWords {
 public:
  explicit CompactWords(const CompactStack* stack)
      : tags_(stack->tags()),
        piece_(stack->pieces()),
        own_high_(reinterpret_cast<uintptr_t>(stack->low) >> 32) {}
  uint64_t next();

 private:
  const uint64_t* tags_;
  const uint32_t* piece_;
  uint64_t own_high_, latest_high_ = 0;
  size_t index_ = 0;
};

// Reads the pages of a compact stack one after the other, from the lowest.
class CompactReader {
 public:
  explicit CompactReader(const CompactStack* stack) : stack_(stack), words_(stack) {}
  bool done() const { return page_ == stack_->pages; }
  void read_page(char* page);

 private:
  const CompactStack* stack_;
  CompactWords words_;
  uint32_t page_ = 0;
};

// The 64-bit word at `address`, which may be anything; false where it is not in the stretch. For the dump.
bool compact_word_at(const CompactStack* stack, uintptr_t address, uint64_t* word);

}  // namespace coshim
