// pthread_exit(3): the process lives as long as one of its threads does, whichever kind it is.
#include "check.h"

static void* stay_longest(void* argument) {
  nap(100);
  SAY("the last thread");
  return argument;
}

static void* end_soon(void* argument) {
  nap(5);
  return argument;
}

int main(void) {
  start_thread(stay_longest, NULL);
  for (int i = 0; i < 3; ++i) start_thread(end_soon, NULL);
  pthread_exit(NULL);
}
