// Most hooks that wait make system calls of their own, which is right only where libc would have got the
// call. Where another library would have, it must get it: a connect(2) past torsocks goes to the wrong place.
// Such a call is made in a blocking region.
//
// Locks and threads are ours alone: whoever replaces those too hands on to libc what waits there, and what
// one side waits for the other one would not see.
#include "preload/next_library.h"

#include <gnu/libc-version.h>
#include <link.h>

#include "preload/cancel.h"
#include "preload/hook.h"
#include "preload/reach.h"
#include "runtime/io/descriptor_table.h"
#include "runtime/sched/blocking.h"
#include "runtime/thread/loaded_modules.h"

#undef p_type  // resolv.h

// Where this library begins and ends, from the linker.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start[], _end[];

namespace coshim {

namespace {

struct Range {
  uintptr_t begin = 0, end = 0;
};
Range g_libc;

int find_libc(dl_phdr_info* module, size_t, void*) {
  Range all{UINTPTR_MAX, 0};
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const auto& segment = module->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD) continue;
    uintptr_t at = module->dlpi_addr + segment.p_vaddr;
    if (at < all.begin) all.begin = at;
    if (at + segment.p_memsz > all.end) all.end = at + segment.p_memsz;
  }
  auto known = reinterpret_cast<uintptr_t>(&gnu_get_libc_version);
  if (known < all.begin || known >= all.end) return 0;
  g_libc = all;
  return 1;
}

// What libc lacks is a function of ours (resolve_real()).
bool in_libc_or_ours(const void* function) {
  auto address = reinterpret_cast<uintptr_t>(function);
  return (address >= g_libc.begin && address < g_libc.end) ||
         (function >= static_cast<const void*>(__ehdr_start) && function < static_cast<const void*>(_end));
}

constexpr bool same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}
constexpr bool waits(const char* group, const char* name) {
  return same(group, "socket") || same(group, "fd-io") || same(group, "wait-fd") || same(name, "nanosleep") ||
         same(name, "clock_nanosleep") || same(name, "sleep") || same(name, "usleep");
}

template <typename Row, typename Function>
struct NextCall {  // variadic ones can't be passed on; none of them waits
  static void use_if_foreign(Function*) {}
};
template <typename Row, typename Result, typename... Args>
struct NextCall<Row, Result (*)(Args...)> {
  static Result call(Args... args) {
    Reach reach(args...);
    if (t_local.coroutine == nullptr) return Row::hook()(args...);
    Result result = in_region(args...);
    if constexpr (same(Row::kName, "connect")) attributes_changed(args...);
    return result;
  }
  __attribute__((noinline)) static Result in_region(Args... args) {
    cancellation_point();
    BlockingRegion region(Row::kName);
    return Row::slot()(args...);
  }
  template <typename... Rest>
  static void attributes_changed(int fd, Rest...) {
    descriptor_attributes_changed(fd);
  }
  static void use_if_foreign(Result (**entry)(Args...)) {
    if (!in_libc_or_ours(reinterpret_cast<const void*>(Row::slot()))) *entry = &call;
  }
};

}  // namespace

void next_library_start() {
  if (g_libc.end == 0) for_each_module(&find_libc, nullptr);
  if (g_libc.end == 0) return;
#define COSHIM_HOOK(group, result, name, parameters, version, how)                          \
  if constexpr (waits(#group, #name)) {                                                     \
    NextCall<real::row_##name, result(*) parameters>::use_if_foreign(&coshim_entry_##name); \
  }
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
}

}  // namespace coshim
