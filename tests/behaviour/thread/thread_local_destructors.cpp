// C++ [basic.start.term]: thread_local objects are destroyed at the thread's end in the reverse order of
// construction, those never used are not constructed; before the destructors of keys.
#include "check.h"

#include <string>
#include <thread>

namespace {

std::string* trail;

struct Noisy {
  explicit Noisy(const char* name) : name(name) { *trail += std::string("+") + name; }
  ~Noisy() {
    nap(1);  // a destructor may block
    *trail += std::string("-") + name;
  }
  const char* name;
};

thread_local Noisy first("first ");
thread_local Noisy second("second ");
thread_local Noisy never_used("never ");

pthread_key_t key;

void key_destructor(void*) {
  *trail += "key ";
}

void use_both() {
  CHECK(pthread_setspecific(key, trail) == 0);
  CHECK(second.name != nullptr);
  nap(1);
  CHECK(first.name != nullptr);
}

void* leave_by_exit(void*) {
  use_both();
  pthread_exit(nullptr);
}

void* leave_by_return(void*) {
  use_both();
  return nullptr;
}

void show(void* (*routine)(void*), const char* way) {
  std::string own;
  trail = &own;
  join_thread(start_thread(routine, nullptr));
  SAY("%s: %s", way, own.c_str());
}

}  // namespace

int main() {
  CHECK(pthread_key_create(&key, key_destructor) == 0);
  show(leave_by_return, "return");
  show(leave_by_exit, "pthread_exit");
  std::string own;
  trail = &own;
  std::thread(use_both).join();
  SAY("std::thread: %s", own.c_str());
}
