// RLIMIT_NOFILE: a program with threads opens as many descriptors as without, numbers are the lowest ones
// free, EMFILE comes at the limit, and a limit that is changed counts at once.
#include "loopback.h"

#include <fcntl.h>
#include <sys/resource.h>

static int fill(void) {
  int last = -1, next;
  while ((next = dup(0)) >= 0) {
    CHECK(next > last);
    last = next;
  }
  CHECK(errno == EMFILE);
  return last;
}

static void limit_to(rlim_t number) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = number;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void* nothing(void* argument) {
  return argument;
}

static void* work(void* argument) {
  int pair[2];
  char byte;
  (void)argument;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && write(pair[0], "x", 1) == 1 &&
        read(pair[1], &byte, 1) == 1);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
  int last = fill();
  SAY("highest %d", last);
  CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, 0), EMFILE);
  CHECK_ERRNO(open("/dev/null", O_RDONLY), EMFILE);
  CHECK_ERRNO(pipe(pair), EMFILE);
  CHECK(close(last) == 0);
  CHECK_ERRNO(pipe(pair), EMFILE);
  CHECK(close(last - 1) == 0 && pipe(pair) == 0 && pair[0] == last - 1 && pair[1] == last);
  join_thread(start_thread(nothing, NULL));
  limit_to(300);
  CHECK_ERRNO(dup2(0, 300), EBADF);
  CHECK_ERRNO(fcntl(0, F_DUPFD, 300), EINVAL);
  CHECK(read(0, &byte, 1) == 0);
  limit_to((rlim_t)last + 11);
  SAY("then %d more", fill() - last);
  for (int i = 3; i < last + 20; ++i) close(i);
  SAY("first free %d", dup(0));
  return NULL;
}

int main(void) {
  CHECK(close(0) == 0 && open("/dev/null", O_RDONLY) == 0);
  join_thread(start_thread(work, NULL));
  return 0;
}
