// 200 threads, each in poll or select on pipes of its own and on one that all share: each is woken by its
// own, then all by the shared one.
#include "check.h"

#include <poll.h>
#include <sys/select.h>

enum { threads = 200 };

static int own[threads][2], shared[2];
static int awake, finished;

static void wait_readable(int descriptor, int other, int way) {
  if (way == 0) {
    struct pollfd set[2] = {{descriptor, POLLIN, 0}, {other, POLLIN, 0}};
    CHECK(poll(set, other < 0 ? 1 : 2, -1) >= 1 && (set[0].revents & POLLIN));
  } else {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(descriptor, &set);
    if (other >= 0) FD_SET(other, &set);
    struct timeval minute = {60, 0};
    CHECK(select((descriptor > other ? descriptor : other) + 1, &set, NULL, NULL,
                 way == 1 ? NULL : &minute) >= 1);
    CHECK(FD_ISSET(descriptor, &set));
  }
}

static void* wait_twice(void* argument) {
  int number = (int)(intptr_t)argument;
  char byte;
  wait_readable(own[number][0], shared[0], number % 3);
  CHECK(read(own[number][0], &byte, 1) == 1);
  __atomic_add_fetch(&awake, 1, __ATOMIC_SEQ_CST);
  wait_readable(shared[0], -1, number % 3);
  __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  CHECK(pipe(shared) == 0);
  for (int i = 0; i < threads; ++i) CHECK(pipe(own[i]) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_twice, number_pointer(i));
  nap(100);  // all are alive
  for (int i = threads - 1; i >= 0; --i) {
    CHECK(write(own[i][1], "x", 1) == 1);
    while (__atomic_load_n(&awake, __ATOMIC_SEQ_CST) < threads - i) nap(1);
    CHECK(__atomic_load_n(&awake, __ATOMIC_SEQ_CST) == threads - i);
  }
  CHECK(__atomic_load_n(&finished, __ATOMIC_SEQ_CST) == 0);
  SAY("each by its own");
  CHECK(write(shared[1], "x", 1) == 1);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d by the shared one", finished);
  return 0;
}
