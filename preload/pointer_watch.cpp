#include "preload/pointer_watch.h"

#include <type_traits>

#include "preload/hook.h"
#include "runtime/base/log.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/thread/critical.h"

namespace coshim {

namespace {

// What was reported: one line for a call and a stack.
struct Reported {
  const char* call;
  const SharedStack* stack;
};
constexpr size_t kMostReports = 64;
Reported g_reported[kMostReports];
size_t g_report_count;
SpinLock g_lock;

bool report_now(const char* call, const SharedStack* stack) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  for (size_t i = 0; i < g_report_count; ++i) {
    if (g_reported[i].call == call && g_reported[i].stack == stack) return false;
  }
  if (g_report_count == kMostReports) return false;
  g_reported[g_report_count++] = {call, stack};
  return true;
}

// Its own, as far as can be told: two threads on one stack have the same addresses.
bool is_own(const SharedStack* stack, const void* address) {
  const Coroutine* self = t_local.coroutine != nullptr ? t_local.coroutine : t_local.former;
  char here;
  return self != nullptr && self->shared_stack == stack && address >= &here;
}

void look_at(const char* call, const void* address) {
  const SharedStack* stack = find_shared_stack(address);
  if (stack == nullptr || is_own(stack, address) || !report_now(call, stack)) return;
  const Coroutine* self = t_local.coroutine;
  const Coroutine* occupant = stack->occupant;
  COSHIM_LOG(
      debug,
      "%s in thread %lu gets %p, a local variable of another thread (on the stack of thread %lu now): not "
      "with COSHIM_STACK_MODE=shared",
      call, self != nullptr ? self->id : 0, const_cast<void*>(address),
      occupant != nullptr ? occupant->id : 0);
}

void look_at_argument(const char* call, void* argument) {
  const SharedStack* stack = find_shared_stack(argument);
  const Coroutine* self = t_local.coroutine;
  if (stack == nullptr || !report_now(call, stack)) return;
  COSHIM_LOG(
      debug,
      "%s in thread %lu hands %p, on a shared stack, to the new thread: not with COSHIM_STACK_MODE=shared",
      call, self != nullptr ? self->id : 0, argument);
}

template <typename T>
void look(const char* call, T value) {
  if constexpr (std::is_pointer_v<T>) look_at(call, (const void*)value);  // of any kind
}

constexpr bool same(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}
// Those that don't come back in the ordinary way, or look at who called them; and a thread's creation, of
// which the argument counts and nothing else.
constexpr const char* kUnwatched[] = {"longjmp", "__longjmp_chk",  "dlopen",     "dlmopen",
                                      "vfork",   "pthread_create", "thrd_create"};
constexpr bool is_watched(const char* name) {
  for (const char* other : kUnwatched) {
    if (same(name, other)) return false;
  }
  return true;
}

template <typename Row, typename Function>
struct WatchCall {  // variadic ones can't be passed on
  static Function entry() { return Row::hook(); }
};
template <typename Row, typename Result, typename... Args>
struct WatchCall<Row, Result (*)(Args...)> {
  static Result call(Args... args) {
    (look(Row::kName, args), ...);
    return Row::hook()(args...);
  }
  static auto entry() { return &call; }
};

int create_watched(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) {
  look_at_argument("pthread_create", argument);
  return hook_pthread_create(thread, attributes, start, argument);
}
int thrd_create_watched(thrd_t* thread, thrd_start_t start, void* argument) {
  look_at_argument("thrd_create", argument);
  return hook_thrd_create(thread, start, argument);
}

}  // namespace

void pointer_watch_start() {
  if (!g_shared_stacks || g_log_level < LogLevel::debug) return;
#define COSHIM_HOOK(group, result, name, parameters, version, how)                    \
  if constexpr (is_watched(#name)) {                                                  \
    coshim_entry_##name = WatchCall<real::row_##name, result(*) parameters>::entry(); \
  }
#define COSHIM_TWIN(group, twin, name)
#include "preload/hooks.def"
#undef COSHIM_HOOK
#undef COSHIM_TWIN
  coshim_entry_pthread_create = &create_watched;
  coshim_entry_thrd_create = &thrd_create_watched;
}

}  // namespace coshim
