#include "preload/native_choice.h"

#include <dlfcn.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/hook.h"
#include "runtime/base/spin_lock.h"
#include "runtime/config.h"
#include "runtime/diag/symbols.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/identity.h"
#include "runtime/thread/lifecycle.h"

namespace coshim {

namespace {

// Whether the program's kernel threads may have a real-time policy: known at the start (chrt(1)), and changed
// by calls of ours.
std::atomic<bool> g_kernel_policies_vary{false};

const char* base_name(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

// std::thread's start routine is libstdc++'s; its argument is a std::thread::_State, whose third virtual
// function (after two destructors) runs the program's.
constexpr char kStdThreadStart[] = "execute_native_thread_routine";
bool in_libstdcxx(const void* address) {
  Dl_info info;
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr &&
         strncmp(base_name(info.dli_fname), "libstdc++.so", strlen("libstdc++.so")) == 0;
}
const void* function_of_state(const void* state) {
  const void* const* table = *static_cast<const void* const* const*>(state);
  return table[2];
}

// The last answers: programs have few start routines.
constexpr unsigned kAnswers = 64;
struct Answer {
  const void* function;
  bool native;
};
SpinLock g_lock;
Answer g_answers[kAnswers];

bool known_answer(const void* function, bool* native) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  const Answer& answer = g_answers[(reinterpret_cast<uintptr_t>(function) >> 4) % kAnswers];
  *native = answer.native;
  return answer.function == function;
}
void keep_answer(const void* function, bool native) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  g_answers[(reinterpret_cast<uintptr_t>(function) >> 4) % kAnswers] = {function, native};
}

bool named(const Symbol& symbol) {
  const char* patterns = g_config.native_patterns;
  return matches_any(patterns, symbol.name) || matches_any(patterns, symbol.module) ||
         matches_any(patterns, base_name(symbol.module));
}

}  // namespace

bool named_native(const void* start_routine, const void* argument) {
  if (__builtin_expect(g_config.native_patterns == nullptr, 1) || g_config.disabled) return false;
  const void* function = in_libstdcxx(start_routine) ? function_of_state(argument) : start_routine;
  bool native;
  if (known_answer(function, &native)) return native;
  Modules modules;
  SymbolTable symbols(&modules);
  const Symbol& symbol = symbols.look_up(reinterpret_cast<uintptr_t>(function));
  if (strcmp(symbol.name, kStdThreadStart) == 0) {  // libstdc++ linked into the program
    return named(symbols.look_up(reinterpret_cast<uintptr_t>(function_of_state(argument))));
  }
  native = named(symbol);
  keep_answer(function, native);
  return native;
}

void choose_real_time(const pthread_attr_t* attributes, RealTimeChoice* choice) {
  int inherit = PTHREAD_INHERIT_SCHED, policy = SCHED_OTHER;
  if (attributes != nullptr) pthread_attr_getinheritsched(attributes, &inherit);
  if (inherit == PTHREAD_EXPLICIT_SCHED) {
    pthread_attr_getschedpolicy(attributes, &policy);
    choice->real_time = is_real_time(policy);
    return;
  }
  const Coroutine* creator = t_local.coroutine;
  if (creator == nullptr) {
    if (!runtime_started()) {
      choice->real_time = is_real_time(static_cast<int>(sys::call(SYS_sched_getscheduler, 0)));
      return;
    }
    choice->real_time = g_kernel_policies_vary.load(std::memory_order_relaxed) &&
                        is_real_time(static_cast<int>(sys::call(SYS_sched_getscheduler, 0)));
    return;
  }
  if (!is_real_time(creator->schedule_policy)) return;
  // The kernel thread underneath does not have the policy that the new one inherits: it is told.
  choice->real_time = choice->use_copy = true;
  if (attributes != nullptr) {
    choice->copy = *attributes;
  } else {
    pthread_attr_init(&choice->copy);
  }
  sched_param parameters{};
  parameters.sched_priority = creator->schedule_priority;
  pthread_attr_setinheritsched(&choice->copy, PTHREAD_EXPLICIT_SCHED);
  pthread_attr_setschedpolicy(&choice->copy, creator->schedule_policy);
  pthread_attr_setschedparam(&choice->copy, &parameters);
}

namespace {

// What a native thread is to run, until it does. Records are reused, never given back.
struct NativeStart {
  void* (*start)(void*);
  void* argument;
  NativeStart* next;
};
SpinLock g_starts_lock;
NativeStart* g_starts;
pthread_key_t g_end_key;
bool g_end_key_made;

bool more_starts() {
  constexpr size_t kBytes = 4096;
  long memory =
      sys::call(SYS_mmap, nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return false;
  auto* records = reinterpret_cast<NativeStart*>(memory);
  for (size_t i = 0; i < kBytes / sizeof(NativeStart); ++i) {
    records[i].next = g_starts;
    g_starts = &records[i];
  }
  return true;
}

NativeStart* take_start() {
  CriticalSection critical;
  SpinGuard guard(g_starts_lock);
  if (g_starts == nullptr && !more_starts()) return nullptr;
  NativeStart* record = g_starts;
  g_starts = record->next;
  return record;
}

void give_back(NativeStart* record) {
  CriticalSection critical;
  SpinGuard guard(g_starts_lock);
  record->next = g_starts;
  g_starts = record;
}

// A key's destructor that arms itself again until the last round: the program's own have run by then.
void native_thread_ends(void* round) {
  auto count = reinterpret_cast<uintptr_t>(round);
  if (count < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(g_end_key, reinterpret_cast<void*>(count + 1));
  } else {
    program_thread_ended();
  }
}

void* run_native_thread(void* pointer) {
  auto* record = static_cast<NativeStart*>(pointer);
  NativeStart what = *record;
  give_back(record);
  pthread_setspecific(g_end_key, reinterpret_cast<void*>(uintptr_t{1}));
  return what.start(what.argument);
}

bool end_key_made() {
  CriticalSection critical;
  SpinGuard guard(g_starts_lock);
  if (!g_end_key_made) g_end_key_made = real::pthread_key_create(&g_end_key, &native_thread_ends) == 0;
  return g_end_key_made;
}

// Also in the child of a fork, where somebody may have held the locks.
void start_choosing() {
  g_starts_lock.reset();
  g_lock.reset();
  if (is_real_time(static_cast<int>(sys::call(SYS_sched_getscheduler, 0)))) policy_changed_on_kernel_thread();
}
__attribute__((constructor(102))) void register_start() {
  runtime_at_start(&start_choosing);
}

}  // namespace

int create_native_thread(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                         void* argument) {
  NativeStart* record = !g_config.disabled && end_key_made() ? take_start() : nullptr;
  if (record == nullptr) return real::pthread_create(thread, attributes, start, argument);
  record->start = start;
  record->argument = argument;
  program_thread_began();
  int error = real::pthread_create(thread, attributes, &run_native_thread, record);
  if (error == 0) return 0;
  give_back(record);
  program_thread_not_made();
  return error;
}

void policy_changed_on_kernel_thread() {
  g_kernel_policies_vary.store(true, std::memory_order_relaxed);
}

}  // namespace coshim
