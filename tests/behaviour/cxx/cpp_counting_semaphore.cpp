// C++20 <semaphore>: at most three inside at once, try_acquire_for's time-out, a binary semaphore as a
// signal.
#include "check.h"

#include <atomic>
#include <chrono>
#include <semaphore>
#include <thread>
#include <vector>

int main() {
  std::counting_semaphore<3> room(3);
  std::binary_semaphore signal(0);
  std::atomic<int> inside{0};
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&] {
      room.acquire();
      CHECK(++inside <= 3);
      nap(1);
      --inside;
      room.release();
      if (++served == 100) signal.release();
    });
  }
  signal.acquire();
  for (std::thread& thread : threads) thread.join();
  CHECK(!signal.try_acquire());
  const auto start = std::chrono::steady_clock::now();
  CHECK(!signal.try_acquire_for(std::chrono::milliseconds(20)));
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20));
  SAY("%d served", served.load());
}
