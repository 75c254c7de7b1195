// connect(2) on blocking sockets: success, ECONNREFUSED, ENOENT, EISCONN, a full backlog (waits, or EAGAIN on
// a unix socket with SO_SNDTIMEO, EINPROGRESS on TCP).
#include "loopback.h"

#include <sys/time.h>
#include <sys/un.h>

static void refused_and_accepted(void) {
  int listener = listen_loopback(5), port = bound_port(listener);
  struct sockaddr_in address = loopback_address(port);
  int descriptor = connect_loopback(port);
  CHECK_ERRNO(connect(descriptor, (struct sockaddr*)&address, sizeof address), EISCONN);
  CHECK(close(descriptor) == 0 && close(listener) == 0);
  descriptor = socket(AF_INET, SOCK_STREAM, 0);
  CHECK_ERRNO(connect(descriptor, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  CHECK(close(descriptor) == 0);
  CHECK_ERRNO(connect(descriptor, (struct sockaddr*)&address, sizeof address), EBADF);
}

static struct sockaddr_un named(void) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, "listener");
  return address;
}

static void* accept_later(void* argument) {
  nap(50);
  for (int i = 0; i < 3; ++i) {
    int descriptor = accept(*(int*)argument, NULL, NULL);
    CHECK(descriptor >= 0 && close(descriptor) == 0);
  }
  return NULL;
}

static void unix_backlog(void) {
  struct sockaddr_un address = named();
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), client[4];
  for (int i = 0; i < 4; ++i) CHECK((client[i] = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
  CHECK_ERRNO(connect(client[0], (struct sockaddr*)&address, sizeof address), ENOENT);
  CHECK(bind(listener, (struct sockaddr*)&address, sizeof address) == 0 && listen(listener, 1) == 0);
  for (int i = 0; i < 2; ++i) CHECK(connect(client[i], (struct sockaddr*)&address, sizeof address) == 0);
  struct timeval time = {0, 30000};
  CHECK(setsockopt(client[2], SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
  CHECK_ERRNO(connect(client[2], (struct sockaddr*)&address, sizeof address), EAGAIN);
  pthread_t acceptor = start_thread(accept_later, &listener);
  CHECK(connect(client[3], (struct sockaddr*)&address, sizeof address) == 0 && "waits for room");
  join_thread(acceptor);
  for (int i = 0; i < 4; ++i) CHECK(close(client[i]) == 0);
  CHECK(close(listener) == 0 && unlink("listener") == 0);
}

// A listener whose queue is full leaves further connections unanswered.
static void tcp_times_out(void) {
  int listener = listen_loopback(0), filler[20];
  struct sockaddr_in address = loopback_address(bound_port(listener));
  for (int i = 0; i < 20; ++i) {
    filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(filler[i], (struct sockaddr*)&address, sizeof address) == 0 || errno == EINPROGRESS);
  }
  nap(20);
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  struct timeval time = {0, 50000};
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
  struct timespec limit = clock_after(CLOCK_MONOTONIC, 49);
  CHECK_ERRNO(connect(descriptor, (struct sockaddr*)&address, sizeof address), EINPROGRESS);
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  for (int i = 0; i < 20; ++i) CHECK(close(filler[i]) == 0);
  CHECK(close(descriptor) == 0 && close(listener) == 0);
}

static void* all_outcomes(void* argument) {
  refused_and_accepted();
  unix_backlog();
  tcp_times_out();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all_outcomes("main");
  join_thread(start_thread(all_outcomes, "a thread"));
  return 0;
}
