// pthread_getschedparam(3), pthread_getaffinity_np(3), sched_yield(2): given back as set, by thread.
#include "check.h"

#include <sched.h>

static cpu_set_t all, one;

static void* narrow_oneself(void* argument) {
  (void)argument;
  cpu_set_t found;
  int policy;
  struct sched_param parameters;
  CHECK(pthread_getschedparam(pthread_self(), &policy, &parameters) == 0);
  SAY("policy %d, priority %d", policy, parameters.sched_priority);
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof found, &found) == 0 && CPU_EQUAL(&found, &all));
  CHECK(pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0);
  nap(1);
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof found, &found) == 0 && CPU_EQUAL(&found, &one));
  CHECK(sched_yield() == 0);
  int cpu = sched_getcpu();
  CHECK(cpu >= 0 && CPU_ISSET(cpu, &all));
  return NULL;
}

static void* see_one(void* argument) {
  cpu_set_t found;
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof found, &found) == 0 && CPU_EQUAL(&found, &one));
  return argument;
}

static void create_on_one(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  CHECK(pthread_attr_init(&attributes) == 0 &&
        pthread_attr_setaffinity_np(&attributes, sizeof one, &one) == 0);
  CHECK(pthread_create(&thread, &attributes, see_one, NULL) == 0);
  join_thread(thread);
  cpu_set_t none;
  CPU_ZERO(&none);
  CHECK(pthread_attr_setaffinity_np(&attributes, sizeof none, &none) == 0);
  CHECK(pthread_create(&thread, &attributes, see_one, NULL) == EINVAL);
  CHECK(pthread_attr_destroy(&attributes) == 0);
}

static void* see_everything(void* argument) {
  (void)argument;
  cpu_set_t found;
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof found, &found) == 0 && CPU_EQUAL(&found, &all));
  return NULL;
}

int main(void) {
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  join_thread(start_thread(narrow_oneself, NULL));
  create_on_one();
  join_thread(start_thread(see_everything, NULL));
  cpu_set_t found;
  CHECK(sched_getaffinity(0, sizeof found, &found) == 0 && CPU_EQUAL(&found, &all));
  SAY("the others kept their processors");
  return 0;
}
