// A thread-per-connection echo server with 300 connections at once, each client in a thread of its own: every
// byte comes back, several messages a connection, the end of each stream arrives.
#include "loopback.h"

enum { connections = 300, messages = 5 };

static pthread_barrier_t all_connected;

static void* echo(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  char buffer[256];
  ssize_t count;
  while ((count = recv(descriptor, buffer, sizeof buffer, 0)) > 0)
    send_all(descriptor, buffer, (size_t)count);
  CHECK(count == 0);
  CHECK(close(descriptor) == 0);
  return NULL;
}

static void* serve(void* argument) {
  int listener = (int)(intptr_t)argument;
  pthread_t thread[connections];
  for (int i = 0; i < connections; ++i) {
    int descriptor = accept(listener, NULL, NULL);
    CHECK(descriptor >= 0);
    thread[i] = start_thread(echo, number_pointer(descriptor));
  }
  for (int i = 0; i < connections; ++i) join_thread(thread[i]);
  return NULL;
}

static void exchange(int descriptor, int own, int message) {
  char sent[128], received[128];
  memset(sent, 'a' + (own + message) % 26, sizeof sent);
  send_all(descriptor, sent, sizeof sent);
  CHECK(read_all(descriptor, received, sizeof received) == sizeof received);
  CHECK(memcmp(sent, received, sizeof sent) == 0);
}

static int port;

static void* be_client(void* argument) {
  int own = (int)(intptr_t)argument;
  int descriptor = connect_loopback(port);
  exchange(descriptor, own, 0);
  pthread_barrier_wait(&all_connected);
  nap(own == 0 ? 100 : 0);
  for (int message = 1; message < messages; ++message) exchange(descriptor, own, message);
  pthread_barrier_wait(&all_connected);
  CHECK(shutdown(descriptor, SHUT_WR) == 0);
  char byte;
  CHECK(recv(descriptor, &byte, 1, 0) == 0);
  CHECK(close(descriptor) == 0);
  return NULL;
}

int main(void) {
  int listener = listen_loopback(connections);
  port = bound_port(listener);
  CHECK(pthread_barrier_init(&all_connected, NULL, connections) == 0);
  pthread_t server = start_thread(serve, number_pointer(listener));
  pthread_t client[connections];
  for (int i = 0; i < connections; ++i) client[i] = start_thread(be_client, number_pointer(i));
  for (int i = 0; i < connections; ++i) join_thread(client[i]);
  join_thread(server);
  CHECK(close(listener) == 0);
  SAY("%d connections, %d messages each", connections, messages);
  return 0;
}
