// std::set_terminate: the handler runs on the thread that threw, sees the exception, and may block before it
// exits.
#include "check.h"

#include <exception>
#include <stdexcept>
#include <thread>

namespace {

thread_local int own = 0;

[[noreturn]] void on_terminate() {
  nap(5);
  try {
    std::rethrow_exception(std::current_exception());
  } catch (const std::exception& error) {
    SAY("thread %d: %s", own, error.what());
  }
  _exit(0);
}

}  // namespace

int main() {
  std::set_terminate(on_terminate);
  std::thread thread([] {
    own = 3;
    throw std::runtime_error("out of the thread");
  });
  thread.join();
  SAY("not reached");
}
