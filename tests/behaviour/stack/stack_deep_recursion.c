// The default stack is RLIMIT_STACK's 8 MiB: recursion through 7 MiB of it, several threads at once, blocking
// at the bottom.
#include "check.h"

enum { threads = 4, frame_size = 1024, used = 7 << 20 };

__attribute__((noinline)) static long recurse(char* top, long depth) {
  volatile char frame[frame_size];
  frame[0] = (char)depth;
  frame[frame_size - 1] = (char)depth;
  if (top - (char*)frame > used) {
    nap(5);
    return depth;
  }
  long reached = recurse(top, depth + 1);
  CHECK(frame[0] == (char)depth && frame[frame_size - 1] == (char)depth);
  return reached;
}

static void* recurse_deep(void* argument) {
  char top;
  CHECK(recurse(&top, 0) > used / (2 * frame_size));
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(recurse_deep, NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("7 MiB deep");
  return 0;
}
