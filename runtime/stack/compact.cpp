#include "runtime/stack/compact.h"

#include <string.h>

namespace coshim {

namespace {

constexpr size_t kPage = 4096, kPageWords = kPage / 8, kGroup = 64;

// The words of one bit of bitmap each, from the group that `live` lies in.
struct Groups {
  const uint64_t* low;
  size_t first, end;  // groups of kGroup words
};

Groups live_groups(const char* low, size_t pages, const char* live) {
  size_t skipped = live > low ? static_cast<size_t>(live - low) : 0;
  return {reinterpret_cast<const uint64_t*>(low), skipped / (8 * kGroup), pages * kPageWords / kGroup};
}

// Words below `live` in its own group count as zero.
uint64_t bits_of(const uint64_t* group, const char* live) {
  uint64_t bits = 0;
  for (size_t i = 0; i < kGroup; ++i) bits |= uint64_t{group[i] != 0} << i;
  auto from = reinterpret_cast<uintptr_t>(live), at = reinterpret_cast<uintptr_t>(group);
  if (from > at) bits &= ~uint64_t{0} << (from - at) / 8;
  return bits;
}

enum Tag : unsigned { kZeroAbove, kOwnAbove, kLatestAbove, kWhole };

class Tagger {
 public:
  explicit Tagger(const char* low) : own_high_(reinterpret_cast<uintptr_t>(low) >> 32) {}
  Tag tag(uint64_t word) {
    uint64_t high = word >> 32;
    if (high == 0) return kZeroAbove;
    if (high == own_high_) return kOwnAbove;
    if (high == latest_high_) return kLatestAbove;
    latest_high_ = high;
    return kWhole;
  }

 private:
  uint64_t own_high_, latest_high_ = 0;
};

}  // namespace

CompactStack compact_measure(const char* low, size_t pages, const char* live) {
  Groups groups = live_groups(low, pages, live);
  Tagger tagger(low);
  size_t words = 0, pieces = 0;
  for (size_t i = groups.first; i < groups.end; ++i) {
    const uint64_t* group = groups.low + i * kGroup;
    for (uint64_t bits = bits_of(group, live); bits != 0; bits &= bits - 1, ++words) {
      pieces += tagger.tag(group[__builtin_ctzll(bits)]) == kWhole ? 2 : 1;
    }
  }
  return {const_cast<char*>(low), static_cast<uint32_t>(pages), static_cast<uint32_t>(words), pieces};
}

CompactStack* compact_encode(void* area, const CompactStack& measured, const char* live) {
  auto* stack = static_cast<CompactStack*>(area);
  *stack = measured;
  Groups groups = live_groups(stack->low, stack->pages, live);
  uint64_t* bitmap = stack->bitmap();
  auto* tags = const_cast<uint64_t*>(stack->tags());
  auto* piece = const_cast<uint32_t*>(stack->pieces());
  memset(bitmap, 0, groups.first * 8);
  memset(tags, 0, stack->tag_words() * 8);
  Tagger tagger(stack->low);
  size_t index = 0;
  for (size_t i = groups.first; i < groups.end; ++i) {
    const uint64_t* group = groups.low + i * kGroup;
    bitmap[i] = bits_of(group, live);
    for (uint64_t bits = bitmap[i]; bits != 0; bits &= bits - 1, ++index) {
      uint64_t word = group[__builtin_ctzll(bits)];
      Tag tag = tagger.tag(word);
      tags[index / 32] |= uint64_t{tag} << index % 32 * 2;
      *piece++ = static_cast<uint32_t>(word);
      if (tag == kWhole) *piece++ = static_cast<uint32_t>(word >> 32);
    }
  }
  return stack;
}

uint64_t CompactWords::next() {
  auto tag = static_cast<unsigned>(tags_[index_ / 32] >> index_ % 32 * 2) & 3;
  ++index_;
  uint64_t low = *piece_++;
  if (tag == kWhole) latest_high_ = *piece_++;
  return low | (tag == kZeroAbove ? 0 : tag == kOwnAbove ? own_high_ : latest_high_) << 32;
}

void CompactReader::read_page(char* page) {
  memset(page, 0, kPage);
  const uint64_t* bitmap = stack_->bitmap() + size_t{page_} * kPageWords / kGroup;
  for (size_t group = 0; group < kPageWords / kGroup; ++group) {
    auto* out = reinterpret_cast<uint64_t*>(page) + group * kGroup;
    for (uint64_t bits = bitmap[group]; bits != 0; bits &= bits - 1)
      out[__builtin_ctzll(bits)] = words_.next();
  }
  ++page_;
}

bool compact_word_at(const CompactStack* stack, uintptr_t address, uint64_t* word) {
  auto low = reinterpret_cast<uintptr_t>(stack->low);
  if (address % 8 != 0 || address < low || address >= low + size_t{stack->pages} * kPage) return false;
  size_t index = (address - low) / 8;
  const uint64_t* bitmap = stack->bitmap();
  uint64_t bit = uint64_t{1} << index % kGroup;
  *word = 0;
  if ((bitmap[index / kGroup] & bit) == 0) return true;
  size_t before = static_cast<size_t>(__builtin_popcountll(bitmap[index / kGroup] & (bit - 1)));
  for (size_t i = 0; i < index / kGroup; ++i) before += static_cast<size_t>(__builtin_popcountll(bitmap[i]));
  CompactWords words(stack);
  for (size_t i = 0; i <= before; ++i) *word = words.next();
  return true;
}

}  // namespace coshim
