// <future>: promise, shared_future, packaged_task, exceptions, broken promises, time-outs, values at thread
// exit.
#include "check.h"

#include <chrono>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using std::chrono::milliseconds;

void value_and_exception() {
  std::promise<std::string> text;
  std::promise<int> failing;
  std::thread thread([&] {
    nap(10);
    text.set_value("value");
    failing.set_exception(std::make_exception_ptr(std::domain_error("domain")));
  });
  CHECK(text.get_future().get() == "value");
  try {
    failing.get_future().get();
    CHECK(false);
  } catch (const std::domain_error& error) {
    SAY("%s", error.what());
  }
  thread.join();
}

void broken() {
  std::future<int> future;
  std::thread([&] {
    std::promise<int> promise;
    future = promise.get_future();
  }).join();
  try {
    future.get();
    CHECK(false);
  } catch (const std::future_error& error) {
    CHECK(error.code() == std::future_errc::broken_promise);
  }
}

void shared_by_many() {
  std::promise<int> promise;
  std::shared_future<int> future = promise.get_future().share();
  CHECK(future.wait_for(milliseconds(10)) == std::future_status::timeout);
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i) {
    threads.emplace_back([future] {
      while (future.wait_for(milliseconds(2)) != std::future_status::ready) {
      }
      CHECK(future.get() == 8);
    });
  }
  nap(10);
  promise.set_value(8);
  for (std::thread& thread : threads) thread.join();
}

void task() {
  std::packaged_task<int(int)> square([](int number) { return number * number; });
  std::future<int> result = square.get_future();
  std::thread thread(std::move(square), 12);
  SAY("packaged %d", result.get());
  thread.join();
}

}  // namespace

int main() {
  value_and_exception();
  broken();
  task();
  std::promise<void> ended;
  std::future<void> end = ended.get_future();
  std::thread setter([&] {
    ended.set_value_at_thread_exit();
    nap(10);
  });
  end.wait();
  setter.join();
  shared_by_many();
  SAY("shared");
}
