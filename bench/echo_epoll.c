/* The bound: the same echo server written by hand for epoll, edge-triggered, in one thread. After a short
 * read the socket is empty (epoll(7), Q&A 9): the recv that would say EAGAIN is saved. Usage: echo_epoll
 * [PORT] (0 or nothing: any port; prints "listening on 127.0.0.1:PORT") */
#define _GNU_SOURCE /* accept4 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char* what) {
  perror(what);
  exit(1);
}

/* A peer that does not read stops everybody here: never with the messages of this benchmark. */
static int send_all(int fd, const char* data, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) {
      struct pollfd writable = {.fd = fd, .events = POLLOUT};
      poll(&writable, 1, -1);
      continue;
    }
    if (sent < 0) return -1;
    data += sent;
    length -= (size_t)sent;
  }
  return 0;
}

/* With the peer gone there is no further edge: then read up to the end. */
static void serve(int fd, int peer_is_gone) {
  char buffer[4096];
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || send_all(fd, buffer, (size_t)got) != 0) {
      close(fd);
      return;
    }
    if (got < (ssize_t)sizeof(buffer) && !peer_is_gone) return;
  }
}

static void watch(int poller, int fd, unsigned events) {
  struct epoll_event event = {.events = events, .data = {.fd = fd}};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) fail("echo_epoll: epoll_ctl");
}

static void accept_all(int poller, int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd >= 0) {
      watch(poller, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != ECONNABORTED) {
      fail("echo_epoll: accept4");
    }
  }
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  address.sin_port = htons((unsigned short)port);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, (struct sockaddr*)&address, &length) != 0) {
    fail("echo_epoll");
  }
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

int main(int argc, char** argv) {
  int listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
  int poller = epoll_create1(0);
  watch(poller, listener, EPOLLIN);
  for (;;) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, -1);
    if (count < 0 && errno != EINTR) fail("echo_epoll: epoll_wait");
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == listener) {
        accept_all(poller, listener);
      } else {
        serve(events[i].data.fd, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
      }
    }
  }
}
