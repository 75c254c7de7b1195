// The table of real functions, made from hooks.def, and how they are found.
#include <dlfcn.h>

#include "preload/hook.h"

namespace coshim {

namespace real {
#define COSHIM_HOOK(group, result, name, parameters, version, how) \
  result(*name) parameters = &LazyCall<row_##name, result(*) parameters>::call;
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
}  // namespace real

// The exported names. One jump through a pointer.
#define COSHIM_HOOK(group, result, name, parameters, version, how) \
  result(*coshim_entry_##name) parameters = &hook_##name;          \
  result(*real::row_##name::hook()) parameters {                   \
    return &hook_##name;                                           \
  }                                                                \
  COSHIM_JUMP(#name, "*coshim_entry_" #name "(%rip)")
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN

// The second names of a hook (64-bit twins, glibc's own underscored names): one jump to the first. The
// library is linked with -Bsymbolic-functions, so the jump stays inside.
#define COSHIM_HOOK(group, result, name, parameters, version, how)
#define COSHIM_TWIN(group, twin, name) COSHIM_JUMP(#twin, #name "@PLT")
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN

namespace {
long missing_function() {
  errno = ENOSYS;
  return -1;
}
}  // namespace

void resolve_all() {
#define COSHIM_HOOK(group, result, name, parameters, version, how) \
  real::name = reinterpret_cast<result(*) parameters>(resolve_real(#name, version));
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
}

namespace {

bool same_module(const void* a, const void* b) {
  Dl_info module_a, module_b;
  return dladdr(a, &module_a) != 0 && dladdr(b, &module_b) != 0 && module_a.dli_fbase == module_b.dli_fbase;
}

}  // namespace

// The version tells libc's functions of one name apart. Another library that stands between us and libc (a
// sanitizer's, a further preload) defines the name without one, which dlvsym() passes over.
void* resolve_real(const char* name, const char* version) {
  int saved = errno;
  void* function = dlsym(RTLD_NEXT, name);
  void* versioned = version != nullptr ? dlvsym(RTLD_NEXT, name, version) : nullptr;
  if (versioned != nullptr && (function == nullptr || same_module(function, versioned))) function = versioned;
  errno = saved;
  return function != nullptr ? function : reinterpret_cast<void*>(&missing_function);
}

}  // namespace coshim
