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

}  // namespace

size_t compact_size(const char* low, size_t pages, const char* live) {
  Groups groups = live_groups(low, pages, live);
  size_t words = 0;
  for (size_t i = groups.first; i < groups.end; ++i) {
    words += static_cast<size_t>(__builtin_popcountll(bits_of(groups.low + i * kGroup, live)));
  }
  return sizeof(CompactStack) + 8 * (pages * kPageWords / kGroup + words);
}

CompactStack* compact_encode(void* area, const char* low, size_t pages, const char* live) {
  auto* stack = static_cast<CompactStack*>(area);
  stack->low = const_cast<char*>(low);
  stack->pages = static_cast<uint32_t>(pages);
  Groups groups = live_groups(low, pages, live);
  uint64_t* bitmap = stack->bitmap();
  uint64_t* out = bitmap + stack->bitmap_words();
  memset(bitmap, 0, groups.first * 8);
  for (size_t i = groups.first; i < groups.end; ++i) {
    const uint64_t* group = groups.low + i * kGroup;
    bitmap[i] = bits_of(group, live);
    for (uint64_t bits = bitmap[i]; bits != 0; bits &= bits - 1) *out++ = group[__builtin_ctzll(bits)];
  }
  stack->word_count = static_cast<uint32_t>(out - (bitmap + stack->bitmap_words()));
  return stack;
}

void CompactReader::read_page(char* page) {
  memset(page, 0, kPage);
  const uint64_t* bitmap = stack_->bitmap() + size_t{page_} * kPageWords / kGroup;
  for (size_t group = 0; group < kPageWords / kGroup; ++group) {
    auto* out = reinterpret_cast<uint64_t*>(page) + group * kGroup;
    for (uint64_t bits = bitmap[group]; bits != 0; bits &= bits - 1)
      out[__builtin_ctzll(bits)] = *next_word_++;
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
  *word = stack->words()[before];
  return true;
}

}  // namespace coshim
