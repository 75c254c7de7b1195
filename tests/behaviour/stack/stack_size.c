// pthread_attr_setstacksize(3): all of the stack that was asked for can be used, across calls that block; the
// bounds of pthread_getattr_np(3) contain the local variables at both ends.
#include "check.h"

enum { frame_size = 1024, threads = 4 };

static void check_inside_bounds(const char* local, size_t least_size) {
  pthread_attr_t attributes;
  void* bottom;
  size_t size;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstack(&attributes, &bottom, &size) == 0);
  CHECK(local >= (char*)bottom && local < (char*)bottom + size);
  CHECK(size >= least_size);
  CHECK(pthread_attr_destroy(&attributes) == 0);
}

__attribute__((noinline)) static void descend(char* top, ptrdiff_t distance, char mark) {
  volatile char frame[frame_size];
  frame[0] = mark;
  frame[frame_size - 1] = mark;
  if (top - (char*)frame >= distance) {
    nap(1);
    check_inside_bounds((const char*)frame, (size_t)distance);
  } else {
    descend(top, distance, (char)(mark + 1));
  }
  CHECK(frame[0] == mark && frame[frame_size - 1] == mark);
}

static void* use_most(void* argument) {
  char top = 0;
  check_inside_bounds(&top, 0);
  descend(&top, (intptr_t)argument / 4 * 3, 0);
  return argument;
}

int main(void) {
  const long sizes[] = {64 << 10, 256 << 10, 1 << 20, 16 << 20, 64 << 20};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
    pthread_attr_t attributes;
    pthread_t thread[threads];
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)sizes[i]) == 0);
    for (int t = 0; t < threads; ++t) {
      CHECK(pthread_create(&thread[t], &attributes, use_most, number_pointer(sizes[i])) == 0);
    }
    for (int t = 0; t < threads; ++t) join_thread(thread[t]);
    SAY("%ld KiB", sizes[i] >> 10);
    CHECK(pthread_attr_destroy(&attributes) == 0);
  }
  return 0;
}
