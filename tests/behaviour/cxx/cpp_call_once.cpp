// std::call_once: the others wait while the one call blocks. [stmt.dcl]: local statics are
// initialised once while the others wait; when that throws, the next of them tries.
#include "check.h"

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

std::once_flag flag;
std::atomic<int> attempts{0};
std::atomic<int> failures{0};
std::atomic<int> constructions{0};

struct Slow {
  Slow() {
    nap(30);
    ++constructions;
  }
  int value = 17;
};

Slow& slow_static() {
  static Slow slow;
  return slow;
}

int throwing_static() {
  static const int value = [] {
    nap(5);
    if (++attempts <= 3) throw std::runtime_error("not yet");
    return 23;
  }();
  return value;
}

void run() {
  CHECK(slow_static().value == 17 && constructions == 1);
  for (;;) {
    try {
      CHECK(throwing_static() == 23);
      return;
    } catch (const std::runtime_error&) {
      ++failures;
    }
  }
}

}  // namespace

int main() {
  std::atomic<int> calls{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 40; ++i) {
    threads.emplace_back([&] {
      std::call_once(flag, [&] {
        nap(20);
        ++calls;
      });
      CHECK(calls == 1);
      run();
    });
  }
  run();
  for (std::thread& thread : threads) thread.join();
  SAY("%d call, %d construction, %d failures, %d attempts", calls.load(), constructions.load(),
      failures.load(), attempts.load());
}
