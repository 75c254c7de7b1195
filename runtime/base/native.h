// The libc functions that the runtime itself needs and that are hooked: the real ones, found past our own
// definitions. Filled by native_initialize(), before anything else of the runtime runs.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

namespace coshim {

struct NativeFunctions {
  int (*pthread_create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  int (*pthread_join)(pthread_t, void**);
  int (*pthread_key_create)(pthread_key_t*, void (*)(void*));
  int (*pthread_getattr_default_np)(pthread_attr_t*);
  // glibc's own, GLIBC_PRIVATE or undocumented; null where this libc lacks them.
  void* (*dl_allocate_tls)(void* tcb);
  void (*dl_deallocate_tls)(void* tcb, bool free_tcb);
  void (*dl_get_tls_static_info)(size_t* size, size_t* alignment);
  void (*call_tls_dtors)();
  void (*register_cancel)(__pthread_unwind_buf_t*);
  void (*unregister_cancel)(__pthread_unwind_buf_t*);
};
extern NativeFunctions g_native;

// False, with the missing name, where this libc is not one that we understand.
bool native_initialize(const char** missing);

}  // namespace coshim
