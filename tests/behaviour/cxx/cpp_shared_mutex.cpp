// <shared_mutex>: readers at the same time, writers alone, shared_timed_mutex's time-outs.
#include "check.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

int main() {
  std::shared_timed_mutex mutex;
  std::atomic<int> readers{0};
  std::atomic<int> most{0};
  long value = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 60; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        if (i % 10 == 0) {
          std::unique_lock<std::shared_timed_mutex> lock(mutex);
          CHECK(readers == 0);
          const long before = value;
          if (round % 10 == 0) nap(1);
          value = before + 1;
        } else {
          std::shared_lock<std::shared_timed_mutex> lock(mutex);
          const int now = ++readers;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          nap(1);
          --readers;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most > 1);
  SAY("%ld written", value);
  std::unique_lock<std::shared_timed_mutex> lock(mutex);
  std::thread([&] {
    CHECK(!mutex.try_lock_shared());
    CHECK(!mutex.try_lock_for(std::chrono::milliseconds(10)));
    CHECK(!mutex.try_lock_shared_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(10)));
  }).join();
  SAY("timed out");
}
