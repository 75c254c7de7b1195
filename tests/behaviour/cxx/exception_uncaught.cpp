// [except.terminate]: an exception that leaves a thread's function calls std::terminate, which aborts.
#include "check.h"

#include <stdexcept>
#include <thread>

int main() {
  SAY("throwing");
  std::thread thread([] {
    nap(5);
    throw std::runtime_error("nobody catches this");
  });
  thread.join();
  SAY("not reached");
}
