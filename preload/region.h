// Hooks that do nothing but call the real function in a blocking region: one line each.
//   COSHIM_REGION(getaddrinfo, true)   with a row in hooks.def; true: the call is known to be long
// The exported symbol is one jump to the instance of the template.
#pragma once

#include "preload/hook.h"
#include "runtime/sched/blocking.h"

namespace coshim {

template <typename Row, bool likely_long, typename Function>
struct RegionCall;
template <typename Row, bool likely_long, typename Result, typename... Args>
struct RegionCall<Row, likely_long, Result (*)(Args...)> {
  static Result call(Args... args) {
    if (!in_coroutine()) return Row::slot()(args...);
    BlockingRegion region(Row::kName, likely_long);
    return Row::slot()(args...);
  }
};

#define COSHIM_REGION(name, likely_long)                                                            \
  extern "C" __attribute__((visibility("hidden"))) const decltype(real::name) coshim_region_##name; \
  const decltype(real::name) coshim_region_##name __attribute__((used)) =                           \
      &RegionCall<real::row_##name, likely_long, decltype(real::name)>::call;                       \
  COSHIM_JUMP("coshim_" #name, "*coshim_region_" #name "(%rip)")

// A try that does not block first, then the real call in a region: for calls that mostly succeed at once.
// `tried` is the try's result, negative on failure; its errno `busy` says that it would block.
#define COSHIM_RETURN_UNLESS(tried, busy)                            \
  do {                                                               \
    int saved_errno = errno;                                         \
    auto result_of_try = (tried);                                    \
    if (result_of_try >= 0 || errno != (busy)) return result_of_try; \
    errno = saved_errno;                                             \
  } while (0)

}  // namespace coshim
