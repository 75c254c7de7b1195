// poll(2), ppoll(2): time-outs, zero, negative descriptors, POLLNVAL, POLLHUP, POLLERR, EINVAL; what becomes
// ready while it waits.
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

static int ends[2];

static void* write_late(void* argument) {
  nap(20);
  CHECK(write(ends[1], "x", 1) == 1);
  return argument;
}

static void times(void) {
  volatile nfds_t too_many = 100000000;  // volatile: else the compiler finds the mistake
  struct pollfd set[1] = {{ends[0], POLLIN, 0x7f}};
  struct timespec limit = clock_after(CLOCK_MONOTONIC, 30);
  CHECK(poll(set, 1, 30) == 0 && clock_reached(CLOCK_MONOTONIC, limit) && set[0].revents == 0);
  CHECK(poll(set, 1, 0) == 0);
  struct timespec time = milliseconds(20), kept = time, zero = {0, 0}, bad = {0, 1000000000};
  limit = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(ppoll(set, 1, &time, NULL) == 0 && clock_reached(CLOCK_MONOTONIC, limit));
  CHECK(memcmp(&time, &kept, sizeof time) == 0 && "the C library keeps the argument");
  CHECK(ppoll(set, 1, &zero, NULL) == 0);
  CHECK_ERRNO(ppoll(set, 1, &bad, NULL), EINVAL);
  limit = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(poll(NULL, 0, 20) == 0 && clock_reached(CLOCK_MONOTONIC, limit) && "a sleep");
  CHECK_ERRNO(poll(set, too_many, 0), EINVAL);
}

static void events(void) {
  struct pollfd set[4] = {
      {-1, POLLIN, 0x7f}, {ends[0], POLLIN | POLLPRI, 0}, {3999, POLLIN, 0}, {ends[1], POLLOUT, 0}};
  CHECK(poll(set, 4, -1) == 2);
  CHECK(set[0].revents == 0 && set[1].revents == 0 && set[2].revents == POLLNVAL &&
        set[3].revents == POLLOUT);
  pthread_t writer = start_thread(write_late, NULL);
  CHECK(poll(set, 2, -1) == 1 && set[1].revents == POLLIN);
  join_thread(writer);
  CHECK(poll(set, 2, 60000) == 1 && set[1].revents == POLLIN && "still there");
  set[1].events = 0;
  CHECK(poll(set, 2, 10) == 0);
}

static void* close_late(void* argument) {
  nap(20);
  CHECK(close(*(int*)argument) == 0);
  return NULL;
}

static void hang_ups(void) {
  CHECK(pipe(ends) == 0);
  struct pollfd set[1] = {{ends[0], POLLIN, 0}};
  pthread_t closer = start_thread(close_late, &ends[1]);
  CHECK(poll(set, 1, -1) == 1 && set[0].revents == POLLHUP);
  join_thread(closer);
  CHECK(close(ends[0]) == 0 && pipe(ends) == 0);
  set[0] = (struct pollfd){ends[1], 0, 0};
  closer = start_thread(close_late, &ends[0]);
  CHECK(poll(set, 1, -1) == 1 && set[0].revents == POLLERR && "also with no events asked for");
  join_thread(closer);
  CHECK(close(ends[1]) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  set[0] = (struct pollfd){ends[0], POLLIN | POLLRDHUP, 0};
  closer = start_thread(close_late, &ends[1]);
  CHECK(poll(set, 1, -1) == 1 && set[0].revents == (POLLIN | POLLRDHUP | POLLHUP));
  join_thread(closer);
  CHECK(close(ends[0]) == 0);
}

static void* all(void* argument) {
  CHECK(pipe(ends) == 0);
  times();
  events();
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  hang_ups();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
