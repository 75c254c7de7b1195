// Saved stacks and the kernel (runtime/stack/elastic.h). A thread may hand another one's local variable to a
// system call; when that other one's stack is saved, user code would bring it back by touching it, but the
// kernel would answer EFAULT, or lose a datagram that it had taken already. So with elastic stacks every hook
// that reaches the kernel first brings back what its arguments point to, and keeps it there until it returns.
// Arguments that look like an address and aren't one do no harm.
#pragma once

#include <string.h>
#include <sys/uio.h>

#include "preload/hook.h"
#include "runtime/stack/elastic.h"
#include "runtime/stack/slot.h"

namespace coshim {

class Reach {
 public:
  template <typename... Args>
  explicit Reach(Args... args) {
    walk(args...);
  }
  // What the arguments of syscall(2) point to beyond themselves.
  struct SystemCall {
    long number, second, third;
  };
  explicit Reach(SystemCall call);
  ~Reach() {
    for (int i = 0; i < count_; ++i) elastic_let_go(owners_[i]);
  }
  Reach(const Reach&) = delete;
  Reach& operator=(const Reach&) = delete;

 private:
  static constexpr int kMost = 6;  // on the stack of every thread that waits

  void walk() {}
  template <typename First, typename... Rest>
  void walk(First first, Rest... rest) {
    if constexpr (sizeof(First) == sizeof(uintptr_t) && !__is_union(First) && !__is_class(First)) {
      add((const void*)(uintptr_t)first);
    }
    if constexpr (sizeof...(Rest) > 0) add_array(first, first_count(rest...));
    add_struct(first);
    walk(rest...);
  }

  // What these point to: the number of elements is the argument behind.
  template <typename... Rest>
  static size_t first_count(Rest... rest) {
    size_t values[] = {count_value(rest)...};
    return values[0];
  }
  template <typename T>
  static size_t count_value(T value) {
    if constexpr (__is_class(T) || __is_union(T)) {
      return 0;
    } else {
      return (size_t)value;
    }
  }
  template <typename T>
  void add_array(T, size_t) {}
  void add_array(const iovec* vector, size_t count);
  void add_array(iovec* vector, size_t count) { add_array(static_cast<const iovec*>(vector), count); }
  void add_array(mmsghdr* messages, size_t count);
  template <typename T>
  void add_struct(T) {}
  void add_struct(const msghdr* message);
  void add_struct(msghdr* message) { add_struct(static_cast<const msghdr*>(message)); }
  void add_struct(char* const* strings) { add_strings(strings); }
  void add_strings(char* const* strings);  // up to a null pointer

  void add(const void* address) {
    if (in_slots(address)) add_in_slots(address);
  }
  // Brought back in any case; kept there during the call as far as there is room to remember.
  void add_in_slots(const void* address);

  int count_ = 0;
  Coroutine* owners_[kMost];
};

// With elastic stacks, what the exported names of hooks lead to.
void reach_start();

}  // namespace coshim
