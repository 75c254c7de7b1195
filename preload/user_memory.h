// Addresses that the program gives to calls which we carry out ourselves. Natively the kernel looks at them,
// and says EFAULT where there is nothing (or leaves it to libc to fault). A hook that reads or writes such
// memory asks first, and where it is not there makes the real call, which says so as natively.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "runtime/thread/thread.h"

namespace coshim {

// By asking the kernel, at the price of a system call.
bool kernel_can_read(const void* address, size_t size);
bool kernel_can_write(const void* address, size_t size);

// Most of what is handed to a call stands in the callers' frames, above ours.
inline bool on_own_stack(const void* address, size_t size) {
  const Coroutine* self = t_local.coroutine;
  if (self == nullptr) return false;
  const auto low = reinterpret_cast<uintptr_t>(self->stack_low), top = low + self->stack_size;
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const auto first = reinterpret_cast<uintptr_t>(address);
  return here >= low && first >= here && first <= top && size <= top - first;
}

inline bool readable(const void* address, size_t size) {
  return __builtin_expect(on_own_stack(address, size), 1) || kernel_can_read(address, size);
}
inline bool writable(const void* address, size_t size) {
  return __builtin_expect(on_own_stack(address, size), 1) || kernel_can_write(address, size);
}
template <typename T>
inline bool readable(const T* object) {
  return readable(object, sizeof(T));
}
template <typename T>
inline bool writable(T* object) {
  return writable(object, sizeof(T));
}
// Arguments that may be null.
template <typename T>
inline bool absent_or_readable(const T* object) {
  return object == nullptr || readable(object, sizeof(T));
}
template <typename T>
inline bool absent_or_writable(T* object) {
  return object == nullptr || writable(object, sizeof(T));
}
// An array; a number of elements that the kernel refuses before it looks at them is no matter of ours.
constexpr size_t kMostElements = 1024;  // UIO_MAXIOV
template <typename T>
inline bool readable_array(const T* elements, size_t count) {
  return count == 0 || count > kMostElements || readable(elements, count * sizeof(T));
}

}  // namespace coshim
