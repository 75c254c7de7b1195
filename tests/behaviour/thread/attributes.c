// pthread_attr_init(3) and its relatives: defaults, what was set is what is got, and what is refused.
#include "check.h"

#include <limits.h>
#include <sched.h>

static void show_defaults(void) {
  pthread_attr_t attributes;
  int detach_state, scope, policy, inherit;
  size_t stack_size, guard_size;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_getdetachstate(&attributes, &detach_state) == 0);
  CHECK(pthread_attr_getscope(&attributes, &scope) == 0);
  CHECK(pthread_attr_getschedpolicy(&attributes, &policy) == 0);
  CHECK(pthread_attr_getinheritsched(&attributes, &inherit) == 0);
  CHECK(pthread_attr_getstacksize(&attributes, &stack_size) == 0);
  CHECK(pthread_attr_getguardsize(&attributes, &guard_size) == 0);
  SAY("detach state %d, scope %d, policy %d, inherit %d, stack %zu, guard %zu", detach_state, scope, policy,
      inherit, stack_size, guard_size);
  CHECK(pthread_attr_destroy(&attributes) == 0);
}

static void* show_own(void* argument) {
  pthread_attr_t attributes;
  int detach_state;
  size_t stack_size, guard_size;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getdetachstate(&attributes, &detach_state) == 0);
  CHECK(pthread_attr_getstacksize(&attributes, &stack_size) == 0);
  CHECK(pthread_attr_getguardsize(&attributes, &guard_size) == 0);
  SAY("%s: detach state %d, at least 1 MiB of stack: %d, guard %zu", (const char*)argument, detach_state,
      stack_size >= 1 << 20, guard_size);
  CHECK(pthread_attr_destroy(&attributes) == 0);
  return NULL;
}

int main(void) {
  show_defaults();
  join_thread(start_thread(show_own, "default"));
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN - 1) == EINVAL);
  CHECK(pthread_attr_setdetachstate(&attributes, 77) == EINVAL);
  CHECK(pthread_attr_setscope(&attributes, PTHREAD_SCOPE_PROCESS) == ENOTSUP);
  CHECK(pthread_attr_setstacksize(&attributes, 1 << 20) == 0);
  CHECK(pthread_attr_setguardsize(&attributes, 64 << 10) == 0);
  pthread_t thread;
  CHECK(pthread_create(&thread, &attributes, show_own, "1 MiB, guard of 64 KiB") == 0);
  join_thread(thread);
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  join_thread(start_thread(show_own, "as default"));
  size_t stack_size;
  CHECK(pthread_getattr_default_np(&attributes) == 0);
  CHECK(pthread_attr_getstacksize(&attributes, &stack_size) == 0);
  SAY("default stack now %zu", stack_size);
  return 0;
}
