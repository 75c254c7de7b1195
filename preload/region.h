// Hooks that do nothing but call the real function in a blocking region: one line each.
//   COSHIM_REGION(getaddrinfo, true)   with a row in hooks.def; true: the call is known to be long
// The exported symbol is one jump to the instance of the template.
#pragma once

#include "preload/hook.h"
#include "preload/kernel_wait.h"
#include "runtime/sched/blocking.h"

namespace coshim {

template <typename Row, bool likely_long, bool limited, typename Function>
struct RegionCall;
template <typename Row, bool likely_long, bool limited, typename Result, typename... Args>
struct RegionCall<Row, likely_long, limited, Result (*)(Args...)> {
  static Result call(Args... args) {
    if (!in_coroutine()) return Row::slot()(args...);
    if constexpr (limited) {
      Place place(PlaceKind::names);
      BlockingRegion region(Row::kName, likely_long);
      return Row::slot()(args...);
    }
    BlockingRegion region(Row::kName, likely_long);
    return Row::slot()(args...);
  }
};

#define COSHIM_REGION(name, likely_long) COSHIM_REGION_OF(name, likely_long, false)
// A look-up of names, of which there may be COSHIM_BLOCKING at once.
#define COSHIM_NAME_REGION(name, likely_long) COSHIM_REGION_OF(name, likely_long, true)
#define COSHIM_REGION_OF(name, likely_long, limited)                                                \
  extern "C" __attribute__((visibility("hidden"))) const decltype(real::name) coshim_region_##name; \
  const decltype(real::name) coshim_region_##name __attribute__((used)) =                           \
      &RegionCall<real::row_##name, likely_long, limited, decltype(real::name)>::call;              \
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
