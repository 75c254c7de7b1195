// [except.handle], [uncaught.exceptions]: nested exceptions, exceptions inside destructors that run while
// another unwinds and that block there.
#include "check.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct BlockingGuard {
  ~BlockingGuard() {
    CHECK(std::uncaught_exceptions() == expected);
    nap(2);
    try {
      throw std::logic_error("inner");
    } catch (const std::logic_error&) {
      nap(1);
    }
    CHECK(std::uncaught_exceptions() == expected);
  }
  int expected;
};

void descend(int depth) {
  BlockingGuard guard{1};
  nap(1);
  if (depth == 0) throw std::runtime_error("bottom");
  try {
    descend(depth - 1);
  } catch (...) {
    nap(1);
    std::throw_with_nested(std::runtime_error("level " + std::to_string(depth)));
  }
}

std::string describe(const std::exception& error) {
  std::string text = error.what();
  try {
    std::rethrow_if_nested(error);
  } catch (const std::exception& inner) {
    nap(1);
    text += " < " + describe(inner);
  }
  return text;
}

void run(std::string* text) {
  try {
    descend(4);
  } catch (const std::exception& error) {
    *text = describe(error);
  }
  BlockingGuard guard{0};
}

}  // namespace

int main() {
  std::vector<std::string> texts(20);
  std::vector<std::thread> threads;
  threads.reserve(texts.size());
  for (std::string& text : texts) threads.emplace_back(run, &text);
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) CHECK(text == texts[0]);
  SAY("%s", texts[0].c_str());
}
