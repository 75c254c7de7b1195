#include "runtime/base/native.h"

#include <dlfcn.h>

#include "runtime/base/clock.h"

namespace coshim {

NativeFunctions g_native;

namespace {

template <typename Function>
bool find(Function& slot, const char* name, const char** missing) {
  void* address = dlsym(RTLD_NEXT, name);
  if (address == nullptr) {
    *missing = name;
    return false;
  }
  slot = reinterpret_cast<Function>(address);
  return true;
}

}  // namespace

bool native_initialize(const char** missing) {
  NativeFunctions& n = g_native;
  return find(g_read_clock, "clock_gettime", missing) && find(n.pthread_create, "pthread_create", missing) &&
         find(n.pthread_join, "pthread_join", missing) &&
         find(n.pthread_key_create, "pthread_key_create", missing) &&
         find(n.pthread_getattr_default_np, "pthread_getattr_default_np", missing) &&
         find(n.dl_allocate_tls, "_dl_allocate_tls", missing) &&
         find(n.dl_deallocate_tls, "_dl_deallocate_tls", missing) &&
         find(n.dl_get_tls_static_info, "_dl_get_tls_static_info", missing) &&
         find(n.call_tls_dtors, "__call_tls_dtors", missing) &&
         find(n.register_cancel, "__pthread_register_cancel", missing) &&
         find(n.unregister_cancel, "__pthread_unregister_cancel", missing);
}

}  // namespace coshim
