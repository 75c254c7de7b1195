// new and delete across threads that block in between: what one thread has allocated another may free,
// nothing is handed out twice.
#include "check.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

struct Block {
  std::unique_ptr<unsigned char[]> bytes;
  std::size_t size;
  unsigned char fill;
};

std::mutex mutex;
std::vector<Block> shared_blocks;

void check_block(const Block& block) {
  for (std::size_t i = 0; i < block.size; ++i) CHECK(block.bytes[i] == block.fill);
}

void run(int number) {
  for (int round = 0; round < 100; ++round) {
    const std::size_t size = 1 + static_cast<std::size_t>(number * 37 + round * 101) % 3000;
    const auto fill = static_cast<unsigned char>(number + round);
    Block made{std::make_unique<unsigned char[]>(size), size, fill};
    std::memset(made.bytes.get(), fill, size);
    if (round % 20 == 0) nap(1);
    Block taken{nullptr, 0, 0};
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (!shared_blocks.empty()) {
        taken = std::move(shared_blocks.front());
        shared_blocks.erase(shared_blocks.begin());
      }
      shared_blocks.push_back(std::move(made));
    }
    check_block(taken);
  }
}

}  // namespace

int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
  for (const Block& block : shared_blocks) check_block(block);
  SAY("5000 blocks allocated, every byte as written");
}
