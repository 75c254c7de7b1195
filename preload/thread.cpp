// pthread_create and what belongs to a thread's life.
#include <string.h>

#include "preload/cancel.h"
#include "preload/go_runtime.h"
#include "preload/hook.h"
#include "preload/native_choice.h"
#include "preload/sanitizer.h"
#include "preload/sync.h"
#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/sched/blocking.h"
#include "runtime/sched/own_thread.h"
#include "runtime/sched/processor.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/keys.h"
#include "runtime/thread/lifecycle.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kMinimumStack = 16384;  // PTHREAD_STACK_MIN of x86-64

struct DefaultAttributes {
  size_t stack_size = 0, guard_size = 0;
  bool known = false;
};
DefaultAttributes g_default;  // pthread_setattr_default_np's hook forgets it
std::atomic<bool> g_default_set{false};

// What a thread without attributes is made with: null, or what pthread_setattr_default_np(3) has set.
class AttributesInForce {
 public:
  explicit AttributesInForce(const pthread_attr_t* given) : given_(given) {
    if (__builtin_expect(given != nullptr || !g_default_set.load(std::memory_order_relaxed), 1)) return;
    copied_ = pthread_getattr_default_np(&copy_) == 0;
    if (copied_) given_ = &copy_;
  }
  ~AttributesInForce() {
    if (copied_) pthread_attr_destroy(&copy_);
  }
  AttributesInForce(const AttributesInForce&) = delete;
  AttributesInForce& operator=(const AttributesInForce&) = delete;
  const pthread_attr_t* get() const { return given_; }

 private:
  const pthread_attr_t* given_;
  bool copied_ = false;
  pthread_attr_t copy_;
};

void read_default_attributes() {
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) != 0) return;
  pthread_attr_getstacksize(&attributes, &g_default.stack_size);
  pthread_attr_getguardsize(&attributes, &g_default.guard_size);
  pthread_attr_destroy(&attributes);
  g_default.known = true;
}

// Null where no stack was set: the address that pthread_attr_getstack gives is then null minus the size.
char* stack_top_of(const pthread_attr_t* attributes) {
  void* low = nullptr;
  size_t size = 0;
  pthread_attr_getstack(attributes, &low, &size);
  return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(low) + size);
}

// Where the attributes say nothing, it is the creator's: inherit_identity().
int read_policy(const pthread_attr_t* attributes, CreateRequest* request) {
  int inherit = PTHREAD_INHERIT_SCHED;
  pthread_attr_getinheritsched(attributes, &inherit);
  if (inherit == PTHREAD_INHERIT_SCHED) return 0;
  sched_param parameters{};
  pthread_attr_getschedpolicy(attributes, &request->schedule_policy);
  pthread_attr_getschedparam(attributes, &parameters);
  request->schedule_priority = parameters.sched_priority;
  request->own_policy = true;
  // Those with priorities, real-time ones, are native threads.
  return request->schedule_priority == 0 ? 0 : EINVAL;
}

int read_attributes(const pthread_attr_t* attributes, CreateRequest* request) {
  if (!g_default.known) read_default_attributes();
  request->stack_size = g_default.stack_size;
  request->guard_size = g_default.guard_size;
  if (attributes != nullptr) {
    int detach_state = PTHREAD_CREATE_JOINABLE;
    pthread_attr_getdetachstate(attributes, &detach_state);
    request->detached = detach_state == PTHREAD_CREATE_DETACHED;
    pthread_attr_getstacksize(attributes, &request->stack_size);
    pthread_attr_getguardsize(attributes, &request->guard_size);
    char* top = stack_top_of(attributes);
    if (top != nullptr) {
      request->user_stack_low = top - request->stack_size;
      request->guard_size = 0;
    }
    if (int refused = read_policy(attributes, request)) return refused;
  }
  if (request->user_stack_low != nullptr) return 0;
  if (g_config.stack_size != 0) request->stack_size = g_config.stack_size;
  if (g_config.guard_size != 0) request->guard_size = g_config.guard_size;
  return 0;
}

sys::KernelSignalSet signal_mask_for(const pthread_attr_t* attributes) {
  sigset_t set;
  if (attributes != nullptr && pthread_attr_getsigmask_np(attributes, &set) == 0) {
    sys::KernelSignalSet mask;
    memcpy(&mask, &set, sizeof(mask));
    return mask;
  }
  if (Coroutine* self = current_coroutine()) return self->signal_mask;
  sys::KernelSignalSet mask = 0;
  sys::set_signal_mask(SIG_BLOCK, nullptr, &mask);
  return mask;
}

// The attributes' set of CPUs, where they have one (else libc gives all ones): tried on this kernel thread,
// for the kernel's errors.
int read_affinity(const pthread_attr_t* attributes, CreateRequest* request) {
  constexpr size_t kBytes = sizeof(request->affinity);
  if (attributes == nullptr ||
      pthread_attr_getaffinity_np(attributes, kBytes, reinterpret_cast<cpu_set_t*>(request->affinity)) != 0)
    return 0;
  for (unsigned long word : request->affinity) {
    if (word != ~0UL) request->affinity_bytes = kBytes;
  }
  if (request->affinity_bytes == 0) return 0;
  unsigned long before[CreateRequest::kAffinityWords * 8];
  long old_bytes = sys::call(SYS_sched_getaffinity, 0, sizeof(before), before);
  long result = sys::call(SYS_sched_setaffinity, 0, kBytes, request->affinity);
  if (result == 0 && old_bytes > 0) {
    // What the kernel made of it is what the thread will be told.
    request->affinity_bytes =
        static_cast<size_t>(sys::call(SYS_sched_getaffinity, 0, kBytes, request->affinity));
    sys::call(SYS_sched_setaffinity, 0, old_bytes, before);
  }
  return static_cast<int>(-result);
}

int create_thread(pthread_t* thread, const pthread_attr_t* attributes, CreateRequest* request) {
  if (int refused = read_attributes(attributes, request)) return refused;
  if (request->stack_size < kMinimumStack) request->stack_size = kMinimumStack;
  request->signal_mask = signal_mask_for(attributes);
  if (int refused = read_affinity(attributes, request)) return refused;
  int saved = errno;
  int error = create_coroutine(*request, thread);
  errno = saved;
  return error;
}

// Contract rule 6: where libc's objects are not laid out as we know them, or a sanitizer watches threads and
// stacks, threads stay native.
bool threads_can_be_ours() {
  if (__builtin_expect(runtime_started(), 1)) return true;
  if (g_config.disabled) return false;
  if (const char* sanitizer = sanitizer_in_program()) {
    COSHIM_LOG(warn, "threads stay native: the program is built with %s", sanitizer);
    g_config.disabled = true;
  } else if (!sync_layouts_ok()) {
    COSHIM_LOG(warn,
               "threads stay native: this libc's mutexes, conditions or semaphores have an unknown layout");
    g_config.disabled = true;
  }
  return runtime_ensure_started();
}

// Joined already, or detached and ended.
bool is_gone(const Coroutine* target, pthread_t thread) {
  return target->state.load(std::memory_order_acquire) == CoroutineState::free || target->fs_base != thread;
}

// What join and detach natively say of one that is gone, as long as the memory is not used again.
int error_of_gone(const Coroutine* target) {
  bool detached =
      target->state.load(std::memory_order_acquire) == CoroutineState::free && coroutine_detached(target);
  return detached ? EINVAL : ESRCH;
}

// join's wait is a cancellation point (pthread_join(3)).
int join_thread(Coroutine* target, pthread_t thread, void** result, Nanoseconds deadline, bool cancellable) {
  if (is_gone(target, thread)) return error_of_gone(target);
  for (;;) {
    if (cancellable) cancellation_point();
    int error = join_coroutine(target, result, deadline);
    if (error != -1) return error;
  }
}

}  // namespace

HOOK(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t* given, void* (*start)(void*), void* argument)) {
  if (belongs_to_go(start)) return real::pthread_create(thread, given, start, argument);
  const AttributesInForce in_force(given);
  const pthread_attr_t* attributes = in_force.get();
  RealTimeChoice choice;
  choose_real_time(attributes, &choice);
  if (choice.real_time || keeps_kernel_thread() || named_native(reinterpret_cast<void*>(start), argument)) {
    return create_native_thread(thread, choice.use_copy ? &choice.copy : attributes, start, argument);
  }
  if (!threads_can_be_ours()) return real::pthread_create(thread, attributes, start, argument);
  CreateRequest request;
  request.start_routine = start;
  request.argument = argument;
  return create_thread(thread, attributes, &request);
}

HOOK(int, pthread_join, (pthread_t thread, void** result)) {
  if (Coroutine* target = coroutine_of(thread)) return join_thread(target, thread, result, kForever, true);
  BlockingRegion region("pthread_join");
  return real::pthread_join(thread, result);
}

HOOK(int, pthread_tryjoin_np, (pthread_t thread, void** result)) {
  if (Coroutine* target = coroutine_of(thread)) return join_thread(target, thread, result, 0, false);
  return real::pthread_tryjoin_np(thread, result);
}

HOOK(int, pthread_timedjoin_np, (pthread_t thread, void** result, const timespec* until)) {
  return hook_pthread_clockjoin_np(thread, result, CLOCK_REALTIME, until);
}

HOOK(int, pthread_clockjoin_np, (pthread_t thread, void** result, clockid_t clock, const timespec* until)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) {
    BlockingRegion region("pthread_clockjoin_np");
    return real::pthread_clockjoin_np(thread, result, clock, until);
  }
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return EINVAL;
  if (until == nullptr || coroutine_ended(target)) return join_thread(target, thread, result, kForever, true);
  if (!valid_timespec(*until)) return EINVAL;
  Nanoseconds deadline = to_monotonic(clock, *until);
  return join_thread(target, thread, result, deadline == 0 ? 1 : deadline, true);
}

HOOK(int, pthread_detach, (pthread_t thread)) {
  if (Coroutine* target = coroutine_of(thread))
    return is_gone(target, thread) ? error_of_gone(target) : detach_coroutine(target);
  return real::pthread_detach(thread);
}

namespace {

// The end of main by pthread_exit() or cancellation: its cleanup handlers, thread_local destructors and keys
// run natively; this key's destructor re-arms itself to run in the last round, and if no thread of the
// program is left, ends the process.
pthread_key_t g_main_end_key;
bool g_main_end_key_made;
void main_ends(void* round) {
  auto count = reinterpret_cast<uintptr_t>(round);
  if (count < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific(g_main_end_key, reinterpret_cast<void*>(count + 1));
    return;
  }
  watch_signals(sys::kAllSignals);  // nobody prefers main any more
  program_thread_ended();
}

void watch_end_of_main() {
  if (t_local.worker != nullptr || sys::gettid() != sys::getpid()) return;
  if (!g_main_end_key_made) g_main_end_key_made = real::pthread_key_create(&g_main_end_key, &main_ends) == 0;
  if (g_main_end_key_made) pthread_setspecific(g_main_end_key, reinterpret_cast<void*>(uintptr_t{1}));
}
__attribute__((constructor(102))) void register_end_of_main() {
  runtime_at_start(&watch_end_of_main);
}

}  // namespace

HOOK(void, pthread_exit, (void* result)) {
  if (Coroutine* self = current_coroutine()) {
    self->result = result;
    self->exit_called = true;
  } else if (runtime_started()) {
    watch_end_of_main();
  }
  real::pthread_exit(result);
  __builtin_unreachable();
}

HOOK(int, pthread_key_create, (pthread_key_t * key, void (*destructor)(void*))) {
  int error = real::pthread_key_create(key, destructor);
  if (error == 0) key_created(*key, destructor);
  return error;
}

HOOK(int, pthread_key_delete, (pthread_key_t key)) {
  key_deleted(key);
  return real::pthread_key_delete(key);
}

HOOK(int, tss_create, (tss_t * key, tss_dtor_t destructor)) {
  int result = real::tss_create(key, destructor);
  if (result == thrd_success) key_created(*key, destructor);
  return result;
}

HOOK(void, tss_delete, (tss_t key)) {
  key_deleted(key);
  real::tss_delete(key);
}

HOOK(int, pthread_setattr_default_np, (const pthread_attr_t* attributes)) {
  int error = real::pthread_setattr_default_np(attributes);
  g_default.known = false;
  if (error == 0) g_default_set.store(true, std::memory_order_relaxed);
  return error;
}

HOOK(int, sched_yield, ()) {
  if (!in_coroutine()) return real::sched_yield();
  Coroutine* self = current_coroutine();
  yield_coroutine(self);
  // Not a cancellation point, but an asynchronous cancellation is due at once.
  if (__builtin_expect(self->cancel_signal_due.load(std::memory_order_relaxed), 0))
    send_due_cancel_signal(self);
  return 0;
}

HOOK(void, thrd_yield, ()) {
  hook_sched_yield();
}

HOOK(pid_t, gettid, ()) {
  Coroutine* self = current_coroutine();
  return self != nullptr ? self->tid : real::gettid();
}

// threads.h: C11's threads are the same threads.
HOOK(int, thrd_create, (thrd_t * thread, thrd_start_t start, void* argument)) {
  if (!threads_can_be_ours() || keeps_kernel_thread() ||
      named_native(reinterpret_cast<void*>(start), argument)) {
    return real::thrd_create(thread, start, argument);
  }
  CreateRequest request;
  request.c11_start = start;
  request.argument = argument;
  const AttributesInForce attributes(nullptr);
  switch (create_thread(thread, attributes.get(), &request)) {
    case 0:
      return thrd_success;
    case ENOMEM:
    case EAGAIN:
      return thrd_nomem;
    default:
      return thrd_error;
  }
}

HOOK(int, thrd_join, (thrd_t thread, int* result)) {
  Coroutine* target = coroutine_of(thread);
  if (target == nullptr) {
    BlockingRegion region("thrd_join");
    return real::thrd_join(thread, result);
  }
  void* value = nullptr;
  if (join_thread(target, thread, &value, kForever, false) != 0) return thrd_error;
  if (result != nullptr) *result = static_cast<int>(reinterpret_cast<intptr_t>(value));
  return thrd_success;
}

HOOK(int, thrd_detach, (thrd_t thread)) {
  return hook_pthread_detach(thread) == 0 ? thrd_success : thrd_error;
}

HOOK(void, thrd_exit, (int result)) {
  hook_pthread_exit(reinterpret_cast<void*>(static_cast<intptr_t>(result)));
}

}  // namespace coshim
