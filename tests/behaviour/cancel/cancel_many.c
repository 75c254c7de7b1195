// 100 threads cancelled while data arrives for them: all end, and a byte that one has read is not in the pipe
// as well. (Whether one that was being read at that moment is lost is not checked: glibc before 2.41 may lose
// it.)
#include "check.h"

enum { threads = 100 };

static int ends[threads][2];
static int got[threads];

static void* read_one(void* argument) {
  int own = (int)(intptr_t)argument;
  char byte;
  CHECK(read(ends[own][0], &byte, 1) == 1);
  got[own] = 1;
  CHECK(read(ends[own][0], &byte, 1) == 1);
  return NULL;
}

static void* write_all(void* argument) {
  for (int i = 0; i < threads; ++i) CHECK(write(ends[i][1], "x", 1) == 1);
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) CHECK(pipe(ends[i]) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(read_one, number_pointer(i));
  pthread_t writer = start_thread(write_all, NULL);
  for (int i = threads - 1; i >= 0; --i) CHECK(pthread_cancel(thread[i]) == 0);
  join_thread(writer);
  for (int i = 0; i < threads; ++i) {
    CHECK(join_thread(thread[i]) == PTHREAD_CANCELED);
    char byte;
    CHECK(close(ends[i][1]) == 0);
    ssize_t rest = read(ends[i][0], &byte, 1);
    CHECK(rest == 0 || (rest == 1 && !got[i]));
  }
  SAY("no byte twice");
  return 0;
}
