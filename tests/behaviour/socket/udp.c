// UDP: sendto, recvfrom with the sender's address, connected sockets, empty datagrams, truncation, and
// ECONNREFUSED.
#include "loopback.h"

enum { clients = 30 };

static int server_port;

static void* answer(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  for (int i = 0; i < clients * 2; ++i) {
    char buffer[64];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(descriptor, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &length);
    CHECK(count >= 0 && length == sizeof from && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(sendto(descriptor, buffer, (size_t)count, 0, (struct sockaddr*)&from, length) == count);
  }
  return NULL;
}

static void* ask(void* argument) {
  int own = (int)(intptr_t)argument;
  int descriptor = bind_loopback(SOCK_DGRAM);
  struct sockaddr_in server = loopback_address(server_port), from;
  socklen_t length = sizeof from;
  char sent[32], received[64];
  int size = snprintf(sent, sizeof sent, "question %d", own);
  CHECK(sendto(descriptor, sent, (size_t)size, 0, (struct sockaddr*)&server, sizeof server) == size);
  CHECK(recvfrom(descriptor, received, sizeof received, 0, (struct sockaddr*)&from, &length) == size);
  CHECK(memcmp(sent, received, (size_t)size) == 0 && ntohs(from.sin_port) == server_port);
  CHECK(connect(descriptor, (struct sockaddr*)&server, sizeof server) == 0);
  CHECK(send(descriptor, sent, 0, 0) == 0);
  CHECK(recv(descriptor, received, sizeof received, 0) == 0 && "an empty datagram, not the end");
  CHECK(close(descriptor) == 0);
  return NULL;
}

static void* be_refused(void* argument) {
  int closed = bind_loopback(SOCK_DGRAM), port = bound_port(closed);
  CHECK(close(closed) == 0);
  int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = loopback_address(port);
  CHECK(connect(descriptor, (struct sockaddr*)&address, sizeof address) == 0);
  CHECK(send(descriptor, "x", 1, 0) == 1);
  char byte;
  CHECK_ERRNO(recv(descriptor, &byte, 1, 0), ECONNREFUSED);
  CHECK(close(descriptor) == 0);
  return argument;
}

int main(void) {
  int server = bind_loopback(SOCK_DGRAM);
  server_port = bound_port(server);
  pthread_t thread[clients], answering = start_thread(answer, number_pointer(server));
  for (int i = 0; i < clients; ++i) thread[i] = start_thread(ask, number_pointer(i));
  for (int i = 0; i < clients; ++i) join_thread(thread[i]);
  join_thread(answering);
  SAY("%d questions answered", clients);
  join_thread(start_thread(be_refused, NULL));
  SAY("refused");
  return 0;
}
