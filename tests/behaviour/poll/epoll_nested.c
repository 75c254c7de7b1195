// An epoll descriptor can itself be waited for: in poll, in select, in another epoll set.
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static int inner, outer, ends[2];

static void* write_late(void* argument) {
  nap(15);
  CHECK(write(ends[1], "x", 1) == 1);
  return argument;
}

static void add(int set, int descriptor) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

static void* all(void* argument) {
  struct epoll_event event;
  char byte;
  CHECK((inner = epoll_create1(0)) >= 0 && (outer = epoll_create1(0)) >= 0 && pipe(ends) == 0);
  add(inner, ends[0]);
  add(outer, inner);
  for (int way = 0; way < 3; ++way) {
    pthread_t writer = start_thread(write_late, NULL);
    struct pollfd wait = {inner, POLLIN, 0};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(inner, &readable);
    if (way == 0) CHECK(poll(&wait, 1, -1) == 1 && wait.revents == POLLIN);
    if (way == 1) CHECK(select(inner + 1, &readable, NULL, NULL, NULL) == 1);
    if (way == 2) CHECK(epoll_wait(outer, &event, 1, -1) == 1 && event.data.fd == inner);
    CHECK(epoll_wait(inner, &event, 1, -1) == 1 && event.data.fd == ends[0]);
    CHECK(read(ends[0], &byte, 1) == 1);
    join_thread(writer);
  }
  CHECK(close(inner) == 0 && close(outer) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
