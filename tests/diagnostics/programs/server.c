// A thread a connection, as legacy servers do it: each reads requests of one byte and answers with it. Prints
// its port; a line on stdin ends it.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;

// In one of two functions, by the parity of the first byte: the dump tells them apart.
__attribute__((noinline)) static void serve_odd_client(int fd) {
  char byte;
  while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, 0) == 1) {
  }
  close(fd);
}
__attribute__((noinline)) static void serve_even_client(int fd) {
  char byte;
  while (recv(fd, &byte, 1, 0) == 1 && send(fd, &byte, 1, 0) == 1) {
  }
  close(fd);
  __asm__ volatile("" ::: "memory");
}

static void* serve(void* argument) {
  int fd = (int)(intptr_t)argument;
  char byte;
  if (recv(fd, &byte, 1, 0) != 1 || send(fd, &byte, 1, 0) != 1) abort();
  if (byte % 2 != 0) {
    serve_odd_client(fd);
  } else {
    serve_even_client(fd);
  }
  __asm__ volatile("" ::: "memory");
  return NULL;
}

static void* accept_all(void* unused) {
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    pthread_t thread;
    if (fd < 0 || pthread_create(&thread, NULL, serve, (void*)(intptr_t)fd) != 0) abort();
    pthread_detach(thread);
  }
  return unused;
}

int main(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  pthread_t thread;
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(listener, 1024) != 0)
    abort();
  getsockname(listener, (struct sockaddr*)&address, &length);
  if (pthread_create(&thread, NULL, accept_all, NULL) != 0) abort();
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  getchar();
  return 0;
}
