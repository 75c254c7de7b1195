// Errors of the socket calls on what is no socket, not connected, closed, reset: as in the man pages, and
// errno is left alone by success.
#include "loopback.h"

static void not_a_socket(void) {
  int ends[2];
  char byte = 0;
  CHECK(pipe(ends) == 0);
  CHECK_ERRNO(recv(ends[0], &byte, 1, 0), ENOTSOCK);
  CHECK_ERRNO(send(ends[1], &byte, 1, 0), ENOTSOCK);
  CHECK_ERRNO(accept(ends[0], NULL, NULL), ENOTSOCK);
  CHECK_ERRNO(recv(-1, &byte, 1, 0), EBADF);
  CHECK_ERRNO(send(4000, &byte, 1, 0), EBADF);
  CHECK_ERRNO(accept(-1, NULL, NULL), EBADF);
  CHECK_ERRNO(read(ends[1], &byte, 1), EBADF);
  CHECK_ERRNO(write(ends[0], &byte, 1), EBADF);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  CHECK_ERRNO(close(ends[0]), EBADF);
}

static void not_connected(void) {
  char byte = 0;
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_ERRNO(recv(descriptor, &byte, 1, 0), ENOTCONN);
  CHECK_ERRNO(send(descriptor, &byte, 1, MSG_NOSIGNAL), EPIPE);
  CHECK_ERRNO(accept(descriptor, NULL, NULL), EINVAL);
  CHECK_ERRNO(shutdown(descriptor, SHUT_WR), ENOTCONN);
  CHECK(close(descriptor) == 0);
}

static void* block_in_recv(void* argument) {
  char byte;
  CHECK_ERRNO(recv(*(int*)argument, &byte, 1, 0), ECONNRESET);
  return NULL;
}

static void reset(void) {
  int listener = listen_loopback(1), client = connect_loopback(bound_port(listener));
  int accepted = accept(listener, NULL, NULL);
  CHECK(accepted >= 0);
  pthread_t thread = start_thread(block_in_recv, &client);
  nap(20);
  struct linger now = {1, 0};
  CHECK(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0 && close(accepted) == 0);
  join_thread(thread);
  CHECK(close(client) == 0 && close(listener) == 0);
}

static void errno_left_alone(void) {
  int ends[2];
  char byte;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  errno = 4242;
  CHECK(send(ends[0], "ab", 2, 0) == 2 && recv(ends[1], &byte, 1, 0) == 1 && read(ends[1], &byte, 1) == 1);
  CHECK(errno == 4242);
  CHECK(close(ends[0]) == 0 && recv(ends[1], &byte, 1, 0) == 0 && close(ends[1]) == 0);
  CHECK(errno == 4242);
}

static void* all(void* argument) {
  not_a_socket();
  not_connected();
  reset();
  errno_left_alone();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
