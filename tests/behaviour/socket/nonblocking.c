// O_NONBLOCK set by the program stays in force: EAGAIN from recv, accept, read, write, EINPROGRESS from
// connect, which poll and SO_ERROR complete; FIONBIO and SOCK_NONBLOCK count as well.
#include "loopback.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

static void complete_connect(int descriptor) {
  struct pollfd wait = {descriptor, POLLOUT, 0};
  CHECK(poll(&wait, 1, 60000) == 1);
  int error = -1;
  socklen_t length = sizeof error;
  CHECK(getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0);
}

static void connect_and_accept(void) {
  int listener = listen_loopback(5), port = bound_port(listener);
  struct sockaddr_in address = loopback_address(port);
  CHECK(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  CHECK_ERRNO(connect(client, (struct sockaddr*)&address, sizeof address), EINPROGRESS);
  complete_connect(client);
  struct pollfd wait = {listener, POLLIN, 0};
  CHECK(poll(&wait, 1, 60000) == 1);
  int accepted = accept(listener, NULL, NULL), one = 1;
  CHECK(accepted >= 0 && !(fcntl(accepted, F_GETFL) & O_NONBLOCK) && "not inherited from the listener");
  char byte;
  CHECK_ERRNO(recv(client, &byte, 1, 0), EAGAIN);
  CHECK(ioctl(accepted, FIONBIO, &one) == 0 && (fcntl(accepted, F_GETFL) & O_NONBLOCK));
  CHECK_ERRNO(read(accepted, &byte, 1), EAGAIN);
  CHECK_ERRNO(recvfrom(accepted, &byte, 1, MSG_WAITALL, NULL, NULL), EAGAIN);
  static char large[1 << 20];
  ssize_t count;
  while ((count = write(accepted, large, sizeof large)) > 0) {
  }
  CHECK(count == -1 && errno == EAGAIN);
  CHECK(close(client) == 0 && close(accepted) == 0 && close(listener) == 0);
}

static void* send_late(void* argument) {
  nap(30);
  CHECK(write(*(int*)argument, "x", 1) == 1);
  return NULL;
}

// The same descriptor changed back and forth: each call goes by the flag in force.
static void back_and_forth(void) {
  int ends[2];
  char byte;
  CHECK(pipe2(ends, O_NONBLOCK) == 0);
  for (int round = 0; round < 3; ++round) {
    CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
    CHECK(fcntl(ends[0], F_SETFL, 0) == 0);
    pthread_t sender = start_thread(send_late, &ends[1]);
    CHECK(read(ends[0], &byte, 1) == 1);
    join_thread(sender);
    CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  }
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void* all(void* argument) {
  connect_and_accept();
  back_and_forth();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
