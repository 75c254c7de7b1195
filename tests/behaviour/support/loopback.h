// Stream sockets on the loopback interface, and transfers of whole buffers.
#ifndef TESTS_BEHAVIOUR_SUPPORT_LOOPBACK_H_
#define TESTS_BEHAVIOUR_SUPPORT_LOOPBACK_H_

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static inline struct sockaddr_in loopback_address(int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((uint16_t)port);
  return address;
}

static inline int bound_port(int descriptor) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  CHECK(getsockname(descriptor, (struct sockaddr*)&address, &length) == 0);
  return ntohs(address.sin_port);
}

static inline int bind_loopback(int type) {
  int descriptor = socket(AF_INET, type, 0);
  CHECK(descriptor >= 0);
  struct sockaddr_in address = loopback_address(0);
  CHECK(bind(descriptor, (struct sockaddr*)&address, sizeof address) == 0);
  return descriptor;
}

static inline int listen_loopback(int backlog) {
  int descriptor = bind_loopback(SOCK_STREAM);
  CHECK(listen(descriptor, backlog) == 0);
  return descriptor;
}

static inline int connect_loopback(int port) {
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(descriptor >= 0);
  struct sockaddr_in address = loopback_address(port);
  CHECK(connect(descriptor, (struct sockaddr*)&address, sizeof address) == 0);
  return descriptor;
}

static inline void send_all(int descriptor, const void* buffer, size_t length) {
  const char* next = (const char*)buffer;
  while (length > 0) {
    ssize_t count = send(descriptor, next, length, MSG_NOSIGNAL);
    CHECK(count > 0);
    next += count;
    length -= (size_t)count;
  }
}

// Reads until length bytes or the end of the stream; returns what arrived.
static inline size_t read_all(int descriptor, void* buffer, size_t length) {
  size_t total = 0;
  while (total < length) {
    ssize_t count = read(descriptor, (char*)buffer + total, length - total);
    CHECK(count >= 0);
    if (count == 0) break;
    total += (size_t)count;
  }
  return total;
}

#endif
