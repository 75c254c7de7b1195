// sched(7): a thread with a real-time policy is one that the kernel knows as such; a thread inherits the
// policy of its creator unless its attributes say otherwise. Where this needs privilege, the same refusal.
#include "check.h"

#include <sched.h>
#include <sys/syscall.h>

static int kernel_policy(void) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"((long)SYS_sched_getscheduler), "D"(0L)
                   : "rcx", "r11", "memory");
  return (int)result;
}

static void show(const char* who) {
  int policy;
  struct sched_param parameters;
  nap(1);
  CHECK(pthread_getschedparam(pthread_self(), &policy, &parameters) == 0);
  SAY("%s: policy %d, priority %d, the kernel says %d", who, policy, parameters.sched_priority,
      kernel_policy());
}

static void* inherits(void* argument) {
  show(argument);
  return NULL;
}

static void* turns(void* argument) {
  struct sched_param fifo = {.sched_priority = 1}, ordinary = {.sched_priority = 0};
  show("before");
  int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &fifo);
  SAY("pthread_setschedparam: %d", error);
  show("after");
  join_thread(start_thread(inherits, "its child"));
  CHECK(pthread_setschedparam(pthread_self(), SCHED_OTHER, &ordinary) == 0);
  show("again");
  join_thread(start_thread(inherits, "its second child"));
  return argument;
}

static int create(int inherit, int policy, int priority, const char* who) {
  pthread_attr_t attributes;
  struct sched_param parameters = {.sched_priority = priority};
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setinheritsched(&attributes, inherit) == 0 &&
        pthread_attr_setschedpolicy(&attributes, policy) == 0 &&
        pthread_attr_setschedparam(&attributes, &parameters) == 0);
  int error = pthread_create(&thread, &attributes, inherits, (void*)who);
  if (error == 0) join_thread(thread);
  CHECK(pthread_attr_destroy(&attributes) == 0);
  return error;
}

int main(void) {
  join_thread(start_thread(turns, NULL));
  SAY("%d", create(PTHREAD_EXPLICIT_SCHED, SCHED_RR, 1, "created round robin"));
  SAY("%d", create(PTHREAD_INHERIT_SCHED, SCHED_RR, 1, "created with an attribute that does not count"));
  struct sched_param fifo = {.sched_priority = 2}, ordinary = {.sched_priority = 0};
  if (sched_setscheduler(0, SCHED_FIFO, &fifo) == 0) {
    join_thread(start_thread(inherits, "main's child"));
    SAY("%d", create(PTHREAD_EXPLICIT_SCHED, SCHED_OTHER, 0, "main's ordinary child"));
    CHECK(sched_setscheduler(0, SCHED_OTHER, &ordinary) == 0);
  }
  join_thread(start_thread(inherits, "main's last child"));
  return 0;
}
