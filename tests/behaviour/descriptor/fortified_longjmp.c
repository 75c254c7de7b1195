// Built with _FORTIFY_SOURCE=2, where longjmp checks that it goes up the stack: upwards over blocked frames
// it may.
#include "check.h"

#include <setjmp.h>

static __thread jmp_buf target;

__attribute__((noinline)) static void descend(int depth) {
  volatile char frame[256];
  frame[0] = (char)depth;
  nap(1);
  if (depth == 0) longjmp(target, 7);
  if (depth > 0) descend(depth - 1);
  frame[1] = frame[0];
}

static void* jump(void* argument) {
  for (volatile int round = 0; round < 3; ++round) {
    int result = setjmp(target);
    if (result == 0) descend(5);
    CHECK(result == 7);
  }
  return argument;
}

int main(void) {
  pthread_t thread[10];
  for (int i = 0; i < 10; ++i) thread[i] = start_thread(jump, NULL);
  for (int i = 0; i < 10; ++i) join_thread(thread[i]);
  jump(NULL);
  SAY("jumped");
  return 0;
}
