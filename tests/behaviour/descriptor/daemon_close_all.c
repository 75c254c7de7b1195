// What daemons do: close every descriptor from 3 to the limit, with close, close_range, closefrom and by dup2
// of /dev/null over everything; sockets and threads work as before.
#include "check.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/socket.h>

static long limit;

static void* receive(void* argument) {
  char byte;
  CHECK(recv((int)(intptr_t)argument, &byte, 1, 0) == 1);
  return NULL;
}

static void use_sockets_and_threads(void) {
  int ends[2];
  pthread_t thread[10];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && ends[0] == 3 && ends[1] == 4);
  for (int i = 0; i < 10; ++i) thread[i] = start_thread(receive, number_pointer(ends[0]));
  nap(10);
  for (int i = 0; i < 10; ++i) CHECK(send(ends[1], "x", 1, 0) == 1);
  for (int i = 0; i < 10; ++i) join_thread(thread[i]);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void close_each(void) {
  for (long number = 3; number < limit; ++number) CHECK(close((int)number) == -1 && errno == EBADF);
}

// Not the very last numbers: nothing guarantees that every number of the table can be had.
static void replace_each(void) {
  int null = open("/dev/null", O_RDWR);
  CHECK(null == 3);
  for (int number = 4; number < (int)limit - 256; ++number) CHECK(dup2(null, number) == number);
  CHECK(close_range(3, ~0U, 0) == 0);
}

static void* close_in_all_ways(void* argument) {
  close_each();
  use_sockets_and_threads();
  CHECK(dup2(0, 50) == 50);
  closefrom(3);
  CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
  use_sockets_and_threads();
  CHECK(dup2(0, 50) == 50 && dup2(0, 60) == 60);
  CHECK(close_range(40, 55, 0) == 0);
  CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
  CHECK(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0);
  CHECK(fcntl(60, F_GETFD) == FD_CLOEXEC && close(60) == 0);
  use_sockets_and_threads();
  CHECK_ERRNO(close_range(10, 9, 0), EINVAL);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  limit = sysconf(_SC_OPEN_MAX);
  CHECK(limit > 100);
  SAY("limit %ld", limit);
  close_in_all_ways("before threads");
  join_thread(start_thread(close_in_all_ways, "in a thread"));
  close_in_all_ways("after threads");
  replace_each();
  use_sockets_and_threads();
  SAY("after replacing each");
  return 0;
}
