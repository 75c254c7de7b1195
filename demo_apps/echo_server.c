/* An echo server of the classic kind: one detached pthread a connection.
 * Usage: echo_server [PORT]     (0 or nothing: any port; prints "listening on 127.0.0.1:PORT") */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;
static int listener;

static void on_term(int signal) {
  (void)signal;
  stopping = 1;
  shutdown(listener, SHUT_RDWR); /* makes accept() return */
}

static void* serve(void* argument) {
  int fd = (int)(long)argument;
  char buffer[4096];
  ssize_t got;
  while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    ssize_t sent = 0;
    while (sent < got) {
      ssize_t n = send(fd, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
      if (n < 0) goto out;
      sent += n;
    }
  }
out:
  close(fd);
  return NULL;
}

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  int one = 1;
  address.sin_port = htons((unsigned short)(argc > 1 ? atoi(argv[1]) : 0));
  listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(listener, 4096) != 0) {
    perror("echo_server");
    return 1;
  }
  getsockname(listener, (struct sockaddr*)&address, &length);
  signal(SIGTERM, on_term);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  while (!stopping) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) {
      if (stopping || errno == EINVAL) break;
      if (errno != EINTR && errno != ECONNABORTED) perror("accept");
      continue;
    }
    pthread_t thread;
    if (pthread_create(&thread, &attributes, serve, (void*)(long)fd) != 0) {
      fprintf(stderr, "echo_server: no thread for a connection\n");
      close(fd);
    }
  }
  return 0;
}
