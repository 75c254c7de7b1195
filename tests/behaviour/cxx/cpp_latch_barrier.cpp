// C++20 <latch> and <barrier>: the completion function runs once a phase, before anybody leaves it.
#include "check.h"

#include <barrier>
#include <latch>
#include <thread>
#include <vector>

int main() {
  constexpr int kThreads = 50;
  constexpr int kPhases = 10;
  std::latch all_started(kThreads);
  std::latch go(1);
  int phase = 0;
  auto on_completion = [&]() noexcept { ++phase; };
  std::barrier barrier(kThreads, on_completion);
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      all_started.count_down();
      go.wait();
      for (int own = 0; own < kPhases; ++own) {
        barrier.arrive_and_wait();
        CHECK(phase == own + 1 && "the completion function came first");
        if (own == 3) nap(1);
      }
    });
  }
  all_started.wait();
  CHECK(!go.try_wait());
  go.count_down();
  threads.clear();
  SAY("%d phases", phase);
}
