/* A thread that recurses without end: overflows its stack. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int depth_of(char* above) {
  char frame[512];
  memset(frame, above[0] + 1, sizeof(frame));
  if (above[0] != above[1]) return 0; /* never: all bytes are equal, but the compiler can't know */
  return depth_of(frame) + frame[17]; /* needs its frame after the call: no tail call */
}

static void* parse_deeply_nested_input(void* argument) {
  char start[512] = {0};
  (void)argument;
  printf("%d\n", depth_of(start));
  return NULL;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, parse_deeply_nested_input, NULL);
  pthread_join(thread, NULL);
  return 0;
}
