// std::thread's start routine is the C++ library's; what the user names is the program.
#include "check.h"

#include <thread>

int main() {
  std::thread thread([] {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", gettid());
    CHECK(access(path, R_OK) == 0);
  });
  thread.join();
  SAY("a kernel thread");
}
