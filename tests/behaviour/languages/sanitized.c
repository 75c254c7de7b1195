// Built with a sanitizer: a small server and its clients, in threads. The sanitizer keeps its own books of
// threads and stacks, and has nothing to report.
#include "check.h"
//
#include "loopback.h"

enum { kClients = 16, kRounds = 20 };
static int port;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int rounds, clients_ended;

static void* serve(void* argument) {
  int fd = (int)(intptr_t)argument;
  char bytes[64];
  for (ssize_t count; (count = read(fd, bytes, sizeof(bytes))) > 0;) {
    char* copy = malloc((size_t)count);
    memcpy(copy, bytes, (size_t)count);
    CHECK(write(fd, copy, (size_t)count) == count);
    free(copy);
  }
  close(fd);
  return NULL;
}

static void* client(void* unused) {
  int fd = connect_loopback(port);
  for (int i = 0; i < kRounds; ++i) {
    char sent[16], received[16];
    snprintf(sent, sizeof(sent), "round %d", i);
    CHECK(write(fd, sent, sizeof(sent)) == sizeof(sent));
    CHECK(recv(fd, received, sizeof(received), MSG_WAITALL) == sizeof(received));
    CHECK(strcmp(sent, received) == 0);
    if (i % 5 == 0) nap(3);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    ++rounds;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  close(fd);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  ++clients_ended;
  CHECK(pthread_cond_signal(&changed) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return unused;
}

int main(void) {
  int listener = listen_loopback(32);
  port = bound_port(listener);
  pthread_t clients[kClients], servers[kClients];
  for (int i = 0; i < kClients; ++i) clients[i] = start_thread(client, NULL);
  for (int i = 0; i < kClients; ++i) {
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    servers[i] = start_thread(serve, number_pointer(fd));
  }
  CHECK(pthread_mutex_lock(&mutex) == 0);
  while (clients_ended < kClients) CHECK(pthread_cond_wait(&changed, &mutex) == 0);
  SAY("%d rounds", rounds);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  for (int i = 0; i < kClients; ++i) {
    join_thread(clients[i]);
    join_thread(servers[i]);
  }
  return 0;
}
