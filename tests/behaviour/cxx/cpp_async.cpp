// std::async: launch::async runs at once and in its own thread, deferred on the caller's; a recursive sum; an
// exception.
#include "check.h"

#include <future>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

long parallel_sum(const int* begin, const int* end) {
  if (end - begin < 1000) {
    nap(1);
    return std::accumulate(begin, end, 0L);
  }
  const int* middle = begin + (end - begin) / 2;
  std::future<long> right = std::async(std::launch::async, parallel_sum, middle, end);
  const long left = parallel_sum(begin, middle);
  return left + right.get();
}

}  // namespace

int main() {
  std::vector<int> numbers(100000);
  std::iota(numbers.begin(), numbers.end(), 1);
  SAY("sum %ld", parallel_sum(numbers.data(), numbers.data() + numbers.size()));
  const auto own = [] { return std::this_thread::get_id(); };
  CHECK(std::async(std::launch::async, own).get() != own());
  CHECK(std::async(std::launch::deferred, own).get() == own());
  std::future<void> failing = std::async(std::launch::async, [] {
    nap(5);
    throw std::length_error("too long");
  });
  try {
    failing.get();
    CHECK(false);
  } catch (const std::length_error& error) {
    SAY("%s", error.what());
  }
}
