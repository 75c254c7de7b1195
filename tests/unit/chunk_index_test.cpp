#include "runtime/stack/chunk_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace coshim {
namespace {

TEST(ChunkIndex, FindsWhatWasAddedInAnyOrder) {
  ChunkIndex index;
  EXPECT_EQ(index.find(&index), nullptr);
  std::mt19937 random(1);
  std::vector<size_t> places(500);
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::shuffle(places.begin(), places.end(), random);
  auto base_of = [](size_t place) { return reinterpret_cast<char*>((place + 1) * 1000000); };
  for (size_t place : places)
    ASSERT_TRUE(index.add(Chunk{base_of(place), 1000, place % 900 + 1, nullptr, 0}));
  for (size_t place : places) {
    size_t size = (place % 900 + 1) * 1000;
    for (char* inside : {base_of(place), base_of(place) + size - 1}) {
      const Chunk* chunk = index.find(inside);
      ASSERT_NE(chunk, nullptr);
      EXPECT_EQ(chunk->base, base_of(place));
    }
    EXPECT_EQ(index.find(base_of(place) - 1), nullptr);
    EXPECT_EQ(index.find(base_of(place) + size), nullptr);
  }
}

}  // namespace
}  // namespace coshim
