// std::exception_ptr carries exceptions from the threads where they were thrown to others, which rethrow them
// at once.
#include "check.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

int main() {
  constexpr int kThreads = 40;
  std::vector<std::exception_ptr> thrown(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&thrown, i] {
      try {
        nap(1);
        throw std::out_of_range(std::to_string(i));
      } catch (...) {
        nap(1);
        thrown[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&thrown, i] {
      for (int other = 0; other < kThreads; ++other) {
        try {
          std::rethrow_exception(thrown[other]);
        } catch (const std::out_of_range& error) {
          if (other == i) nap(1);
          CHECK(error.what() == std::to_string(other));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  SAY("%d exceptions seen by %d threads", kThreads, kThreads);
}
