// <mutex>: lock_guard, timed_mutex, recursive_timed_mutex, scoped_lock over several mutexes in any order.
#include "check.h"

#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using std::chrono::milliseconds;

void times_out() {
  std::timed_mutex mutex;
  std::recursive_timed_mutex recursive;
  std::unique_lock<std::timed_mutex> lock(mutex);
  recursive.lock();
  CHECK(recursive.try_lock());
  std::thread([&] {
    CHECK(!mutex.try_lock());
    const auto start = std::chrono::steady_clock::now();
    CHECK(!mutex.try_lock_for(milliseconds(20)));
    CHECK(!mutex.try_lock_until(std::chrono::system_clock::now() + milliseconds(20)));
    CHECK(!recursive.try_lock_until(std::chrono::steady_clock::now() + milliseconds(20)));
    CHECK(std::chrono::steady_clock::now() - start >= milliseconds(40));
  }).join();
  std::thread waiter([&] {
    CHECK(mutex.try_lock_for(std::chrono::minutes(1)));
    mutex.unlock();
  });
  nap(5);
  lock.unlock();
  waiter.join();
  recursive.unlock();
  recursive.unlock();
}

long move_money() {
  constexpr int kAccounts = 5;
  struct Account {
    std::mutex mutex;
    long balance = 1000;
  } accounts[kAccounts];
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&accounts, i] {
      for (int round = 0; round < 500; ++round) {
        Account& from = accounts[(i + round) % kAccounts];
        Account& to = accounts[(i * 3 + round * 2 + 1) % kAccounts];
        if (&from == &to) continue;
        std::scoped_lock lock(from.mutex, to.mutex);
        if (round % 100 == 0) nap(1);
        from.balance -= 1;
        to.balance += 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  long sum = 0;
  for (Account& account : accounts) sum += account.balance;
  return sum;
}

}  // namespace

int main() {
  times_out();
  SAY("timed");
  SAY("sum %ld", move_money());
}
