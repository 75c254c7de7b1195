#include "runtime/stack/compact.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>

#include <random>
#include <vector>

namespace coshim {
namespace {

constexpr size_t kPage = 4096;

// Words as they lie on stacks: zeros, small numbers, pointers into the stretch and elsewhere, anything.
uint64_t some_word(std::mt19937_64& random, uintptr_t low) {
  switch (random() % 8) {
    case 0:
      return random();
    case 1:
      return random() % 100000;
    case 2:
      return low + random() % 65536;
    case 3:
      return 0x7f1234000000 + random() % 1000000;
    case 4:
      return 0x555555000000 + random() % 1000000;
    default:
      return 0;
  }
}

struct Stretch {
  explicit Stretch(size_t pages)
      : pages(pages), memory(static_cast<char*>(aligned_alloc(kPage, pages * kPage))) {}
  ~Stretch() { free(memory); }
  size_t pages;
  char* memory;
};

void check(const Stretch& stretch, size_t dead) {
  const char* live = stretch.memory + dead;
  CompactStack measured = compact_measure(stretch.memory, stretch.pages, live);
  std::vector<uint64_t> area((measured.size() + 7) / 8 + 1, 0x5555555555555555);
  CompactStack* saved = compact_encode(area.data(), measured, live);
  EXPECT_EQ(area.back(), 0x5555555555555555) << "wrote beyond what it measured";
  std::vector<char> expected(stretch.memory, stretch.memory + stretch.pages * kPage), page(kPage);
  memset(expected.data(), 0, dead);
  CompactReader reader(saved);
  for (size_t at = 0; !reader.done(); at += kPage) {
    reader.read_page(page.data());
    ASSERT_EQ(memcmp(page.data(), expected.data() + at, kPage), 0);
  }
  for (size_t at = 0; at < stretch.pages * kPage; at += 8 * 37) {
    uint64_t word = 1, right;
    memcpy(&right, expected.data() + at, 8);
    ASSERT_TRUE(compact_word_at(saved, reinterpret_cast<uintptr_t>(stretch.memory) + at, &word));
    ASSERT_EQ(word, right);
  }
  uint64_t word;
  EXPECT_FALSE(
      compact_word_at(saved, reinterpret_cast<uintptr_t>(stretch.memory) + stretch.pages * kPage, &word));
}

TEST(Compact, GivesBackEveryWord) {
  std::mt19937_64 random(1);
  for (size_t pages : {1, 2, 3, 17}) {
    Stretch stretch(pages);
    for (int round = 0; round < 20; ++round) {
      auto* words = reinterpret_cast<uint64_t*>(stretch.memory);
      for (size_t i = 0; i < pages * kPage / 8; ++i)
        words[i] = some_word(random, reinterpret_cast<uintptr_t>(stretch.memory));
      check(stretch, random() % kPage / 8 * 8);
    }
  }
}

TEST(Compact, OfZerosAndOfOnesNothingIsLost) {
  Stretch stretch(2);
  memset(stretch.memory, 0, 2 * kPage);
  check(stretch, 0);
  memset(stretch.memory, 0xff, 2 * kPage);
  check(stretch, 8);
}

}  // namespace
}  // namespace coshim
