// Cancellation in C++ unwinds: destructors of local and thread_local objects, catch (...) that rethrows,
// keys.
#include "check.h"

#include <string>

namespace {

std::string trail;
pthread_key_t key;

struct Noisy {
  explicit Noisy(const char* name) : name(name) {}
  ~Noisy() { trail += std::string(name) + " "; }
  const char* name;
};

thread_local Noisy own("thread_local");

void key_destructor(void*) {
  trail += "key ";
}

void block() {
  Noisy inner("inner");
  try {
    nap(1000000);
  } catch (...) {
    trail += "caught ";
    throw;
  }
}

void* run(void*) {
  Noisy outer("outer");
  CHECK(own.name != nullptr && pthread_setspecific(key, &trail) == 0);
  block();
  CHECK(false);
  return nullptr;
}

}  // namespace

int main() {
  CHECK(pthread_key_create(&key, key_destructor) == 0);
  for (int round = 0; round < 3; ++round) {
    trail.clear();
    pthread_t thread = start_thread(run, nullptr);
    nap(20);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(join_thread(thread) == PTHREAD_CANCELED);
    SAY("%s", trail.c_str());
  }
}
