// oneTBB: its workers sleep on futexes; the calling thread works along.
#include "check.h"

#include <tbb/concurrent_queue.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_group.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

long reduce() {
  return tbb::parallel_reduce(
      tbb::blocked_range<long>(0, 100000), 0L,
      [](const tbb::blocked_range<long>& range, long sum) {
        for (long i = range.begin(); i != range.end(); ++i) sum += i;
        return sum;
      },
      [](long a, long b) { return a + b; });
}

}  // namespace

int main() {
  tbb::global_control four(tbb::global_control::max_allowed_parallelism, 4);
  for (int round = 0; round < 20; ++round) {
    CHECK(reduce() == 4999950000L);
    nap(1);
  }
  SAY("reduce");
  std::atomic<int> done{0};
  tbb::task_group group;
  for (int i = 0; i < 100; ++i) group.run([&] { tbb::parallel_for(0, 50, [&](int) { ++done; }); });
  group.wait();
  SAY("tasks %d", done.load());
  tbb::concurrent_bounded_queue<int> queue;
  queue.set_capacity(3);
  std::thread producer([&] {
    for (int i = 0; i < 500; ++i) queue.push(i);
  });
  long sum = 0;
  for (int i = 0; i < 500; ++i) {
    int value = 0;
    queue.pop(value);
    sum += value;
  }
  producer.join();
  SAY("queue %ld", sum);
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) threads.emplace_back([] { CHECK(reduce() == 4999950000L); });
  for (std::thread& thread : threads) thread.join();
  SAY("in threads");
}
