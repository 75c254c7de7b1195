// C++20 std::atomic::wait and notify, for values the size of a futex and for others, by threads and main.
#include "check.h"

#include <atomic>
#include <thread>
#include <vector>

namespace {

template <class Integer>
void hand_over(const char* name) {
  constexpr int kThreads = 20;
  std::atomic<Integer> turn{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&turn, i] {
      for (Integer seen = turn; seen != static_cast<Integer>(i); seen = turn) turn.wait(seen);
      nap(1);
      turn = static_cast<Integer>(i + 1);
      turn.notify_all();
    });
  }
  for (Integer seen = turn; seen != kThreads; seen = turn) turn.wait(seen);
  for (std::thread& thread : threads) thread.join();
  SAY("%s", name);
}

}  // namespace

int main() {
  hand_over<int>("int");
  hand_over<char>("char");
  hand_over<long long>("long long");
  std::atomic_flag flag;
  std::thread waiter([&] { flag.wait(false); });
  nap(10);
  flag.test_and_set();
  flag.notify_one();
  waiter.join();
  SAY("flag");
}
