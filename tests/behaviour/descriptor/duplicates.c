// dup(2): copies share the description: a thread blocked on a copy goes on when the original is closed; dup2
// onto a descriptor in use replaces it for later calls; F_DUPFD, dup3 flags, EINVAL, EBADF.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

static int ends[2];

static void* block_on_copy(void* argument) {
  int copy = *(int*)argument;
  char byte;
  CHECK(read(copy, &byte, 1) == 1 && byte == 'c');
  CHECK(close(copy) == 0);
  return NULL;
}

static void copies_share(void) {
  CHECK(pipe(ends) == 0);
  int copy = dup(ends[0]);
  CHECK(copy >= 0);
  pthread_t thread = start_thread(block_on_copy, &copy);
  nap(20);
  CHECK(close(ends[0]) == 0);
  CHECK(write(ends[1], "c", 1) == 1);
  join_thread(thread);
  CHECK(close(ends[1]) == 0);
}

static pthread_barrier_t step;

static void* block_on_replaced(void* argument) {
  char byte;
  CHECK(read(*(int*)argument, &byte, 1) == 1 && byte == 'a');
  pthread_barrier_wait(&step);
  pthread_barrier_wait(&step);  // meanwhile the descriptor is replaced
  CHECK(read(*(int*)argument, &byte, 1) == 1 && byte == 'b');
  return NULL;
}

static void replaced(void) {
  int second[2];
  CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, second) == 0);
  pthread_t thread = start_thread(block_on_replaced, &ends[0]);
  nap(10);
  CHECK(write(ends[1], "a", 1) == 1);
  pthread_barrier_wait(&step);
  CHECK(dup2(second[0], ends[0]) == ends[0]);
  pthread_barrier_wait(&step);
  nap(10);
  CHECK(write(second[1], "b", 1) == 1);
  join_thread(thread);
  CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
  for (int i = 0; i < 2; ++i) CHECK(close(ends[i]) == 0 && close(second[i]) == 0);
}

static void flags_and_errors(void) {
  CHECK(pipe2(ends, O_CLOEXEC) == 0 && fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
  int copy = fcntl(ends[0], F_DUPFD, 100), closing = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
  CHECK(copy == 100 && closing == 101 && fcntl(copy, F_GETFD) == 0 && fcntl(closing, F_GETFD) == FD_CLOEXEC);
  CHECK(dup3(ends[0], 102, O_CLOEXEC) == 102 && fcntl(102, F_GETFD) == FD_CLOEXEC);
  CHECK_ERRNO(dup3(ends[0], ends[0], 0), EINVAL);
  CHECK(dup2(ends[0], ends[0]) == ends[0]);
  CHECK_ERRNO(dup2(ends[0], -1), EBADF);
  CHECK_ERRNO(dup2(3000, 5), EBADF);
  CHECK_ERRNO(dup(-1), EBADF);
  CHECK(close(100) == 0 && close(101) == 0 && close(102) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void* all(void* argument) {
  copies_share();
  replaced();
  flags_and_errors();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&step, NULL, 2) == 0);
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
