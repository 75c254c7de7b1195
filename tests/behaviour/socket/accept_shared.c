// A listener shared by threads of several processes: every connection is served once, whoever is faster, and
// nobody blocks the others of its process.
#include "loopback.h"

#include <sys/wait.h>

#define PROCESSES 3
#define ACCEPTORS 8
#define CONNECTIONS 600

static int listener;

static void* serve(void* argument) {
  int served = 0;
  for (;;) {
    int descriptor = accept(listener, NULL, NULL);
    CHECK(descriptor >= 0);
    char word;
    CHECK(read(descriptor, &word, 1) == 1);
    if (word == 'q') _exit(0);
    CHECK(write(descriptor, &word, 1) == 1 && close(descriptor) == 0);
    ++served;
  }
  return argument;
}

// Says how often it was woken: it must not stand still while the acceptors wait.
static void* tick(void* argument) {
  for (;;) nap(1);
  return argument;
}

static void* ask(void* argument) {
  for (int i = 0; i < CONNECTIONS / 4; ++i) {
    int descriptor = connect_loopback((int)(intptr_t)argument);
    char word = (char)('A' + i % 26), answer = 0;
    CHECK(write(descriptor, &word, 1) == 1 && read(descriptor, &answer, 1) == 1 && answer == word);
    CHECK(read(descriptor, &answer, 1) == 0 && close(descriptor) == 0);
  }
  return NULL;
}

int main(void) {
  listener = listen_loopback(64);
  int port = bound_port(listener);
  pid_t children[PROCESSES];
  for (int i = 0; i < PROCESSES; ++i) {
    CHECK((children[i] = fork()) >= 0);
    if (children[i] != 0) continue;
    pthread_t last = start_thread(tick, NULL);
    for (int j = 0; j < ACCEPTORS; ++j) last = start_thread(serve, NULL);
    join_thread(last);
    _exit(1);
  }
  pthread_t clients[4];
  for (int i = 0; i < 4; ++i) clients[i] = start_thread(ask, number_pointer(port));
  for (int i = 0; i < 4; ++i) join_thread(clients[i]);
  for (int ended = 0; ended < PROCESSES; ++ended) {
    int descriptor = connect_loopback(port), status;
    CHECK(write(descriptor, "q", 1) == 1);
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(close(descriptor) == 0);
  }
  SAY("%d served", CONNECTIONS);
  return 0;
}
