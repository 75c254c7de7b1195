// 150 threads wait for one latch, then for a semaphore, then for an atomic: C++20's waits are futexes.
#include "check.h"

#include <atomic>
#include <barrier>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>

int main() {
  constexpr int kThreads = 150;
  std::latch gate{1};
  std::counting_semaphore<kThreads> permits{0};
  std::atomic<int> turn{0};
  std::atomic<int> through{0};
  std::barrier meeting{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      gate.wait();
      permits.acquire();
      turn.wait(0);
      meeting.arrive_and_wait();
      ++through;
    });
  }
  nap(200);
  gate.count_down();
  nap(20);
  permits.release(kThreads);
  nap(20);
  turn = 1;
  turn.notify_all();
  for (std::thread& thread : threads) thread.join();
  SAY("%d threads", through.load());
}
