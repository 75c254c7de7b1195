// std::thread: 300 alive at once, distinct ids, arguments by value and reference, join and detach,
// this_thread's sleeps.
#include "check.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

std::mutex mutex;
std::set<std::thread::id> ids;

void run(int number, const std::string& text, std::string& result) {
  {
    std::lock_guard<std::mutex> lock(mutex);
    CHECK(ids.insert(std::this_thread::get_id()).second);
  }
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(150));
  std::this_thread::yield();
  result = text + std::to_string(number);
}

}  // namespace

int main() {
  constexpr int kThreads = 300;
  std::vector<std::string> results(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(run, i, "thread ", std::ref(results[i]));
  for (std::thread& thread : threads) {
    CHECK(thread.joinable() && ids.count(std::this_thread::get_id()) == 0);
    thread.join();
    CHECK(!thread.joinable());
  }
  for (int i = 0; i < kThreads; ++i) CHECK(results[i] == "thread " + std::to_string(i));
  std::atomic<bool> ended{false};
  std::thread([&] { ended = true; }).detach();
  while (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  SAY("%zu ids", ids.size());
}
