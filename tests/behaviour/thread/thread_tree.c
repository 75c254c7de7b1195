// Threads that create threads that create threads: each adds up what its two children found.
#include "check.h"

static void* grow(void* argument) {
  intptr_t depth = (intptr_t)argument;
  if (depth == 0) {
    nap(1);
    return number_pointer(1);
  }
  pthread_t left = start_thread(grow, number_pointer(depth - 1));
  pthread_t right = start_thread(grow, number_pointer(depth - 1));
  intptr_t sum = (intptr_t)join_thread(left);
  return number_pointer(sum + (intptr_t)join_thread(right));
}

int main(void) {
  SAY("%d leaves", (int)(intptr_t)join_thread(start_thread(grow, number_pointer(8))));
  return 0;
}
