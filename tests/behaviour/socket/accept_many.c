// 120 threads accept on one listener: each connection is accepted exactly once, accept4 sets its flags, the
// peer's address is right.
#include "loopback.h"

#include <fcntl.h>

enum { threads = 120, connections = 400 };

static int listener, port;
static int accepted[65536];

static void* accept_some(void* argument) {
  for (;;) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int descriptor = accept4(listener, (struct sockaddr*)&peer, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(descriptor >= 0 && length == sizeof peer && peer.sin_family == AF_INET);
    CHECK(fcntl(descriptor, F_GETFD) == FD_CLOEXEC && (fcntl(descriptor, F_GETFL) & O_NONBLOCK));
    __atomic_add_fetch(&accepted[ntohs(peer.sin_port)], 1, __ATOMIC_SEQ_CST);
    char letter = 0;
    while (recv(descriptor, &letter, 1, 0) == -1) {
      CHECK(errno == EAGAIN);
      nap(1);
    }
    CHECK(close(descriptor) == 0);
    if (letter == 'q') return argument;
  }
}

static int connect_and_send(char letter) {
  int descriptor = connect_loopback(port), own = bound_port(descriptor);
  CHECK(send(descriptor, &letter, 1, 0) == 1);
  char end;
  CHECK(recv(descriptor, &end, 1, 0) == 0);
  CHECK(close(descriptor) == 0);
  return own;
}

int main(void) {
  listener = listen_loopback(100);
  port = bound_port(listener);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(accept_some, NULL);
  nap(100);  // all are alive
  for (int i = 0; i < connections; ++i) {
    int own = connect_and_send('c');
    CHECK(__atomic_exchange_n(&accepted[own], 0, __ATOMIC_SEQ_CST) == 1);
  }
  for (int i = 0; i < threads; ++i) {
    int own = connect_and_send('q');
    CHECK(__atomic_exchange_n(&accepted[own], 0, __ATOMIC_SEQ_CST) == 1);
  }
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d connections, each accepted once", connections);
  return 0;
}
