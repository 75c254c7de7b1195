// The number of threads given as argument alive at once: asleep, then all on one condition, then joined.
#include "check.h"

#include <limits.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_wait = PTHREAD_COND_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static long count, waiting;
static int all_created, go;

static void* sleep_then_wait(void* argument) {
  // Nobody leaves this loop before all exist: they are all asleep at once.
  while (!__atomic_load_n(&all_created, __ATOMIC_ACQUIRE)) nap(500);
  CHECK(pthread_mutex_lock(&lock) == 0);
  if (++waiting == count) CHECK(pthread_cond_signal(&all_wait) == 0);
  while (!go) CHECK(pthread_cond_wait(&released, &lock) == 0);
  CHECK(pthread_mutex_unlock(&lock) == 0);
  return argument;
}

static void create_all(pthread_t* thread) {
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
  for (long i = 0; i < count; ++i) {
    CHECK(pthread_create(&thread[i], &attributes, sleep_then_wait, number_pointer(i)) == 0);
  }
  CHECK(pthread_attr_destroy(&attributes) == 0);
  __atomic_store_n(&all_created, 1, __ATOMIC_RELEASE);
}

int main(int argument_count, char** arguments) {
  count = argument_count > 1 ? atol(arguments[1]) : 2000;
  CHECK(count > 0);
  pthread_t* thread = (pthread_t*)calloc((size_t)count, sizeof *thread);
  CHECK(thread != NULL);
  create_all(thread);
  SAY("all created");
  CHECK(pthread_mutex_lock(&lock) == 0);
  while (waiting < count) CHECK(pthread_cond_wait(&all_wait, &lock) == 0);
  go = 1;
  CHECK(pthread_mutex_unlock(&lock) == 0);
  SAY("all on the condition");
  CHECK(pthread_cond_broadcast(&released) == 0);
  for (long i = 0; i < count; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  SAY("all joined");
  free(thread);
  return 0;
}
