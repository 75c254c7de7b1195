// pthread_setattr_default_np(3): what a thread is made with that is given no attributes; and attributes that
// contradict themselves (pthread_create(3): EINVAL).
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <threads.h>

static void look(int* detached, int* explicit_policy, size_t* guard, size_t* stack) {
  pthread_attr_t attributes;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getdetachstate(&attributes, detached) == 0);
  CHECK(pthread_attr_getinheritsched(&attributes, explicit_policy) == 0);
  CHECK(pthread_attr_getguardsize(&attributes, guard) == 0);
  CHECK(pthread_attr_getstacksize(&attributes, stack) == 0);
  CHECK(pthread_attr_destroy(&attributes) == 0);
}

static volatile int looked;
static void* shows(void* expected) {
  int detached, policy;
  size_t guard, stack;
  look(&detached, &policy, &guard, &stack);
  sigset_t mask;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
  int changed = expected != NULL;
  CHECK(sigismember(&mask, SIGUSR2) == changed);
  CHECK(detached == (changed ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE));
  CHECK(policy == (changed ? PTHREAD_EXPLICIT_SCHED : PTHREAD_INHERIT_SCHED));
  if (changed) CHECK(guard == 12288 && stack >= 1 << 20 && stack < 2 << 20);
  looked = 1;
  return NULL;
}
static int shows_too(void* expected) {
  return shows(expected) == NULL ? 0 : 1;
}

static void wait_for_look(void) {
  while (!looked) nap(1);
  looked = 0;
}

int main(void) {
  join_thread(start_thread(shows, NULL));
  looked = 0;
  pthread_attr_t attributes, before;
  CHECK(pthread_getattr_default_np(&before) == 0 && pthread_getattr_default_np(&attributes) == 0);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  CHECK(pthread_attr_setsigmask_np(&attributes, &mask) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED) == 0);
  CHECK(pthread_attr_setguardsize(&attributes, 12288) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, 1 << 20) == 0);
  CHECK(pthread_setattr_default_np(&attributes) == 0);
  int yes = 1;
  start_thread(shows, &yes);
  wait_for_look();
  thrd_t thread;
  CHECK(thrd_create(&thread, shows_too, &yes) == thrd_success);
  wait_for_look();
  CHECK(pthread_setattr_default_np(&before) == 0);
  join_thread(start_thread(shows, NULL));
  SAY("defaults");

  struct sched_param parameters = {.sched_priority = 1};
  CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_FIFO) == 0);
  CHECK(pthread_attr_setschedparam(&attributes, &parameters) == 0);
  CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_OTHER) == 0);
  pthread_t refused;
  CHECK(pthread_create(&refused, &attributes, shows, NULL) == EINVAL);
  SAY("refused");
  return 0;
}
