// epoll(7) in threads: level- and edge-triggered, EPOLLONESHOT, modification while waiting, time-outs,
// errors.
#include "check.h"

#include <sys/epoll.h>

static int set, ends[2];

static void control(int operation, uint32_t events, uint64_t data) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = events;
  event.data.u64 = data;
  CHECK(epoll_ctl(set, operation, ends[0], &event) == 0);
}

static void expect(int timeout, int count, uint64_t data) {
  struct epoll_event event[4];
  CHECK(epoll_wait(set, event, 4, timeout) == count);
  if (count == 1) CHECK(event[0].data.u64 == data && event[0].events == EPOLLIN);
}

static void* write_late(void* argument) {
  nap(20);
  CHECK(write(ends[1], "x", 1) == 1);
  return argument;
}

static void* enable_late(void* argument) {
  nap(20);
  control(EPOLL_CTL_MOD, EPOLLIN, 99);
  return argument;
}

static void triggers(void) {
  char byte;
  control(EPOLL_CTL_ADD, EPOLLIN, 11);
  struct timespec limit = clock_after(CLOCK_MONOTONIC, 20);
  expect(20, 0, 0);
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  expect(0, 0, 0);
  pthread_t writer = start_thread(write_late, NULL);
  expect(-1, 1, 11);
  expect(-1, 1, 11);
  join_thread(writer);
  control(EPOLL_CTL_MOD, EPOLLIN | EPOLLET, 22);
  expect(-1, 1, 22);
  expect(10, 0, 0);
  CHECK(write(ends[1], "y", 1) == 1);
  expect(-1, 1, 22);
  control(EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, 33);
  expect(-1, 1, 33);
  expect(10, 0, 0);
  control(EPOLL_CTL_MOD, EPOLLIN | EPOLLONESHOT, 44);
  expect(-1, 1, 44);
  pthread_t enabler = start_thread(enable_late, NULL);
  expect(-1, 1, 99);
  join_thread(enabler);
  CHECK(read(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
  control(EPOLL_CTL_DEL, 0, 0);
  CHECK(write(ends[1], "z", 1) == 1);
  expect(10, 0, 0);
}

static void errors(void) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  CHECK_ERRNO(epoll_wait(set, &event, 0, 0), EINVAL);
  CHECK_ERRNO(epoll_wait(ends[0], &event, 1, 0), EINVAL);
  CHECK_ERRNO(epoll_wait(-1, &event, 1, 0), EBADF);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, ends[0], &event), ENOENT);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, 3999, &event), EBADF);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event) == 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), EEXIST);
}

static void* all(void* argument) {
  set = epoll_create1(EPOLL_CLOEXEC);
  CHECK(set >= 0 && pipe(ends) == 0);
  triggers();
  errors();
  CHECK(close(set) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
