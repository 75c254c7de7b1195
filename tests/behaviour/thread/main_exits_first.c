// pthread_exit(3): after pthread_exit from main the process lives until its last thread has ended, then ends
// with status 0, as exit would: atexit functions run.
#include "check.h"

static pthread_t main_thread;

static void at_exit(void) {
  SAY("atexit function");
}

static void* outlive_main(void* argument) {
  nap(30);
  void* result = NULL;
  CHECK(pthread_join(main_thread, &result) == 0);
  CHECK(result == number_pointer(99));
  nap(30);
  SAY("the last thread ends");
  return argument;
}

int main(void) {
  main_thread = pthread_self();
  CHECK(atexit(at_exit) == 0);
  start_thread(outlive_main, NULL);
  SAY("main ends");
  pthread_exit(number_pointer(99));
}
