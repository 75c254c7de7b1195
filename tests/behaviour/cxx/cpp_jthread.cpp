// C++20 std::jthread and stop tokens: stop requests wake a condition_variable_any wait, callbacks run,
// destructors join.
#include "check.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

int main() {
  std::mutex mutex;
  std::condition_variable_any condition;
  int stopped = 0;
  std::atomic<int> called{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 30; ++i) {
      threads.emplace_back([&](std::stop_token token) {
        std::unique_lock<std::mutex> lock(mutex);
        CHECK(!condition.wait(lock, token, [] { return false; }));
        ++stopped;
      });
    }
    nap(10);
    std::jthread polling([&](std::stop_token token) {
      std::stop_callback callback(token, [&] { ++called; });
      while (called == 0) nap(1);
    });
  }
  SAY("%d stopped, %d called", stopped, called.load());
}
