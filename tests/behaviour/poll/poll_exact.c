// poll(2), select(2), epoll(7): the same descriptor several times, negative and closed ones, sets beyond
// 1024, the time left, EPOLLEXCLUSIVE and EPOLLONESHOT with several threads, an epoll descriptor used across
// fork.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>

static int pair[2];

static void* write_later(void* argument) {
  nap(30);
  CHECK(write(*(int*)argument, "x", 1) == 1);
  return NULL;
}

static void* duplicates(void* argument) {
  CHECK(pipe(pair) == 0);
  int gone = dup(0);
  CHECK(close(gone) == 0);
  struct pollfd entries[5] = {{pair[0], POLLIN, 0},
                              {-5, POLLIN, 7},
                              {pair[0], POLLIN | POLLOUT, 0},
                              {pair[0], 0, 0},
                              {pair[1], 0, 0}};
  pthread_t writer = start_thread(write_later, &pair[1]);
  CHECK(poll(entries, 5, 10000) == 2);
  join_thread(writer);
  CHECK(entries[0].revents == POLLIN && entries[1].revents == 0 && entries[2].revents == POLLIN);
  CHECK(entries[3].revents == 0 && entries[4].revents == 0);
  entries[1].fd = gone;
  CHECK(poll(entries, 5, -1) == 3 && entries[1].revents == POLLNVAL);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(gone, &set);
  CHECK_ERRNO(select(gone + 1, &set, NULL, NULL, NULL), EBADF);
  CHECK(FD_ISSET(gone, &set));
  CHECK(close(pair[1]) == 0);
  CHECK(poll(entries, 1, -1) == 1 && entries[0].revents == (POLLIN | POLLHUP));
  CHECK(close(pair[0]) == 0);
  return argument;
}

static void* high_numbers(void* argument) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2000);
  CHECK(pipe(pair) == 0);
  int high = fcntl(pair[0], F_DUPFD, 1500);
  CHECK(high >= 1500);
  static unsigned long set[4096 / 64], others[4096 / 64];
  memset(set, 0, sizeof set);
  memset(others, 0, sizeof others);
  set[high / 64] |= 1ul << (high % 64);
  others[pair[1] / 64] |= 1ul << (pair[1] % 64);
  struct timeval time = {10, 0};
  CHECK(select(high + 1, (fd_set*)set, (fd_set*)others, NULL, &time) == 1);
  CHECK(set[high / 64] == 0 && others[pair[1] / 64] != 0 && time.tv_sec >= 9);
  set[high / 64] |= 1ul << (high % 64);
  pthread_t writer = start_thread(write_later, &pair[1]);
  time.tv_sec = 10;
  time.tv_usec = 0;
  CHECK(select(high + 1, (fd_set*)set, NULL, NULL, &time) == 1 && set[high / 64] != 0);
  CHECK(time.tv_sec < 10 && "the time left");
  join_thread(writer);
  CHECK(close(high) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
  return argument;
}

static int counter;
static atomic_int taken;
static void* wait_exclusive(void* argument) {
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event) == 0);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, counter, &event), EINVAL);
  uint64_t value;
  for (;;) {
    CHECK(epoll_wait(set, &event, 1, -1) == 1);
    if (read(counter, &value, sizeof value) == sizeof value) break;
    CHECK(errno == EAGAIN);
  }
  atomic_fetch_add(&taken, 1);
  CHECK(close(set) == 0);
  return argument;
}

static void exclusive(void) {
  pthread_t threads[8];
  counter = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK);
  for (int i = 0; i < 8; ++i) threads[i] = start_thread(wait_exclusive, NULL);
  nap(30);
  for (int i = 0; i < 8; ++i) {
    uint64_t one = 1;
    CHECK(write(counter, &one, sizeof one) == sizeof one);
    nap(2);
  }
  for (int i = 0; i < 8; ++i) join_thread(threads[i]);
  CHECK(atomic_load(&taken) == 8 && close(counter) == 0);
}

// A child uses the epoll descriptor that it inherited, in a thread, and what it changes holds for its parent.
static void* child_waits(void* argument) {
  struct epoll_event event;
  CHECK(epoll_wait(*(int*)argument, &event, 1, 10000) == 1 && event.data.u32 == 1);
  event.events = EPOLLIN;
  event.data.u32 = 2;
  CHECK(epoll_ctl(*(int*)argument, EPOLL_CTL_MOD, pair[0], &event) == 0);
  return NULL;
}
static void* across_fork(void* argument) {
  int set = epoll_create1(0), status;
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = 1};
  CHECK(pipe(pair) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event) == 0);
  CHECK(epoll_wait(set, &event, 1, 1) == 0);
  pid_t child = fork();
  if (child == 0) {
    join_thread(start_thread(child_waits, &set));
    _exit(0);
  }
  nap(20);
  CHECK(write(pair[1], "x", 1) == 1);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(epoll_wait(set, &event, 1, 10000) == 1 && event.data.u32 == 2);
  CHECK(close(set) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
  return argument;
}

int main(void) {
  join_thread(start_thread(duplicates, NULL));
  join_thread(start_thread(high_numbers, NULL));
  exclusive();
  join_thread(start_thread(across_fork, NULL));
  SAY("exact");
  return 0;
}
