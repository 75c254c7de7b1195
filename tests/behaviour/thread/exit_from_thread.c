// exit(3) from a thread: atexit functions run, on that thread, stdio is flushed, the status is kept; the
// other threads, asleep or waiting, don't delay it.
#include "check.h"

static pthread_t exiting;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void at_exit(void) {
  CHECK(pthread_equal(exiting, pthread_self()));
  printf("atexit function on the calling thread\n");
}

static void* block(void* argument) {
  if (argument == NULL) nap(1000000);
  pthread_mutex_lock(&held);
  return NULL;
}

static void* call_exit(void* argument) {
  (void)argument;
  nap(20);
  printf("not flushed by hand\n");
  exiting = pthread_self();
  exit(7);
}

int main(void) {
  CHECK(atexit(at_exit) == 0);
  pthread_mutex_lock(&held);
  for (int i = 0; i < 20; ++i) start_thread(block, number_pointer(i % 2));
  join_thread(start_thread(call_exit, NULL));
  SAY("not reached");
  return 0;
}
