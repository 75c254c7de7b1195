// [except.throw]: every thread has its own exceptions in flight; a handler may block, and rethrow what it
// caught.
#include "check.h"

#include <sys/socket.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 120;

void throw_own(int number) {
  throw std::runtime_error("number " + std::to_string(number));
}

// Blocks in recv inside the handler, as a server does that reports an error to its peer and waits for the
// answer.
void catch_and_block(int number, int ends[2]) {
  const std::string expected = "number " + std::to_string(number);
  try {
    throw_own(number);
  } catch (const std::runtime_error& error) {
    CHECK(error.what() == expected);
    CHECK(std::current_exception() != nullptr);
    char byte = 0;
    CHECK(recv(ends[0], &byte, 1, 0) == 1 && byte == 'x');
    CHECK(error.what() == expected);
    throw;
  }
}

void run(int number) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  std::thread peer([&] {
    nap(100);
    CHECK(send(ends[1], "x", 1, 0) == 1);
  });
  bool caught = false;
  try {
    catch_and_block(number, ends);
  } catch (const std::exception& error) {
    caught = error.what() == "number " + std::to_string(number);
  }
  CHECK(caught && std::uncaught_exceptions() == 0 && std::current_exception() == nullptr);
  peer.join();
  close(ends[0]);
  close(ends[1]);
}

}  // namespace

int main() {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(run, i);
  for (std::thread& thread : threads) thread.join();
  SAY("%d threads caught their own", kThreads);
}
