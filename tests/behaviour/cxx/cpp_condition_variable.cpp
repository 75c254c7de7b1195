// <condition_variable>: 200 waiters, wait_for, wait_until on both clocks, condition_variable_any, and
// notify_all_at_thread_exit.
#include "check.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

namespace {

using std::chrono::milliseconds;

std::mutex mutex;
std::condition_variable condition;

void many_waiters() {
  constexpr int kThreads = 200;
  int waiting = 0;
  bool go = false;
  std::condition_variable all_wait;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      std::unique_lock<std::mutex> lock(mutex);
      if (++waiting == kThreads) all_wait.notify_one();
      condition.wait(lock, [&] { return go; });
      CHECK(lock.owns_lock());
    });
  }
  {
    std::unique_lock<std::mutex> lock(mutex);
    all_wait.wait(lock, [&] { return waiting == kThreads; });
    go = true;
  }
  nap(100);
  condition.notify_all();
  for (std::thread& thread : threads) thread.join();
}

void time_out() {
  std::unique_lock<std::mutex> lock(mutex);
  const auto start = std::chrono::steady_clock::now();
  CHECK(!condition.wait_for(lock, milliseconds(20), [] { return false; }));
  CHECK(
      !condition.wait_until(lock, std::chrono::steady_clock::now() + milliseconds(20), [] { return false; }));
  CHECK(
      !condition.wait_until(lock, std::chrono::system_clock::now() + milliseconds(20), [] { return false; }));
  CHECK(std::chrono::steady_clock::now() - start >= milliseconds(58));
  CHECK(lock.owns_lock());
}

void any_lock() {
  std::shared_mutex shared;
  std::condition_variable_any any;
  bool go = false;
  std::thread waiter([&] {
    std::shared_lock<std::shared_mutex> lock(shared);
    any.wait(lock, [&] { return go; });
  });
  nap(5);
  {
    std::lock_guard<std::shared_mutex> lock(shared);
    go = true;
  }
  any.notify_one();
  waiter.join();
}

void at_thread_exit() {
  bool ended = false;
  std::thread thread([&] {
    std::unique_lock<std::mutex> lock(mutex);
    ended = true;
    std::notify_all_at_thread_exit(condition, std::move(lock));
    nap(10);
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    condition.wait(lock, [&] { return ended; });
  }
  thread.join();
}

}  // namespace

int main() {
  many_waiters();
  SAY("many waiters");
  time_out();
  std::thread(time_out).join();
  SAY("timed out");
  any_lock();
  SAY("any lock");
  at_thread_exit();
  SAY("at thread exit");
}
