#include "preload/sanitizer.h"

// Found by the dynamic loader when it binds this library, null where nobody defines them. gcc's runtimes are
// libraries of their own, clang's are in the program, which exports them.
extern "C" {
__attribute__((weak)) void __asan_init();
__attribute__((weak)) void __hwasan_init();
__attribute__((weak)) void __lsan_init();
__attribute__((weak)) void __msan_init();
__attribute__((weak)) void __tsan_init();

// AddressSanitizer as a library (gcc's) refuses to run where another library stands before it, lest calls
// pass it by. Ours passes every call on to the next one, so it need not. It asks this function, which a
// program may define too, before it reads ASAN_OPTIONS (sanitizer/asan_interface.h).
__attribute__((visibility("default"))) const char* __asan_default_options() {
  return "verify_asan_link_order=0";
}
}

namespace coshim {

const char* sanitizer_in_program() {
  if (&__asan_init != nullptr) return "AddressSanitizer";
  if (&__hwasan_init != nullptr) return "HWAddressSanitizer";
  if (&__tsan_init != nullptr) return "ThreadSanitizer";
  if (&__msan_init != nullptr) return "MemorySanitizer";
  if (&__lsan_init != nullptr) return "LeakSanitizer";
  return nullptr;
}

}  // namespace coshim
