// templates: threads that wait in templates, operators and lambdas, then "ready"; a line on stdin ends it.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <utility>

template <typename T, int N>
struct Waiter {
  __attribute__((noinline)) void operator()(const T& value, std::pair<T, char> other) const {
    sleep(1000);
    std::printf("%zu %d %d\n", sizeof(value), N, static_cast<int>(other.second));
  }
};

int main() {
  std::thread([] {
    Waiter<std::string, 7>()("a", {"b", 'c'});
    std::puts("");
  }).detach();
  usleep(100000);
  std::puts("ready");
  std::fflush(stdout);
  getchar();
  return 0;
}
