// pthread_exit in C++ unwinds the stack: the destructors of local objects and the cleanup handlers run from
// the innermost call outwards, catch (...) sees the unwinding and must pass it on.
#include "check.h"

#include <string>

namespace {

std::string trail;

struct Local {
  explicit Local(int depth) : depth(depth) {}
  ~Local() {
    nap(1);
    trail += "local" + std::to_string(depth) + " ";
  }
  int depth;
};

void handler(void*) {
  trail += "handler ";
}

void leave_here(int depth) {
  if (depth == 0) pthread_exit(number_pointer(5));
}

void descend(int depth) {
  Local local(depth);
  nap(1);
  leave_here(depth);
  pthread_cleanup_push(handler, nullptr);
  try {
    if (depth > 0) descend(depth - 1);
  } catch (...) {
    trail += "caught ";
    throw;
  }
  pthread_cleanup_pop(0);
}

void* run(void*) {
  descend(2);
  return nullptr;
}

}  // namespace

int main() {
  CHECK(join_thread(start_thread(run, nullptr)) == number_pointer(5));
  SAY("%s", trail.c_str());
}
