// Connect, one request, close, 2,000 times by 20 client threads against a server with a new detached thread
// each.
#include "loopback.h"

enum { clients = 20, each = 100 };

static int port;

static void* answer_one(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  char buffer[16];
  CHECK(recv(descriptor, buffer, sizeof buffer, 0) == 4);
  send_all(descriptor, "answer", 6);
  CHECK(close(descriptor) == 0);
  return NULL;
}

static void* serve(void* argument) {
  int listener = (int)(intptr_t)argument;
  for (int i = 0; i < clients * each; ++i) {
    int descriptor = accept(listener, NULL, NULL);
    CHECK(descriptor >= 0);
    CHECK(pthread_detach(start_thread(answer_one, number_pointer(descriptor))) == 0);
  }
  return NULL;
}

static void* ask_often(void* argument) {
  for (int i = 0; i < each; ++i) {
    char buffer[16];
    int descriptor = connect_loopback(port);
    send_all(descriptor, "asks", 4);
    CHECK(read_all(descriptor, buffer, sizeof buffer) == 6 && memcmp(buffer, "answer", 6) == 0);
    CHECK(close(descriptor) == 0);
  }
  return argument;
}

int main(void) {
  int listener = listen_loopback(128);
  port = bound_port(listener);
  pthread_t server = start_thread(serve, number_pointer(listener)), client[clients];
  for (int i = 0; i < clients; ++i) client[i] = start_thread(ask_often, NULL);
  for (int i = 0; i < clients; ++i) join_thread(client[i]);
  join_thread(server);
  SAY("%d requests answered", clients * each);
  return 0;
}
