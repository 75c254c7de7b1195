/* An echo server of the classic kind: one detached pthread a connection. SIGTERM: a handler that shuts the
 * listening socket down.
 * Usage: echo_server [--port N]     (0 or nothing: any port; prints "listening on 127.0.0.1:PORT") */
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
  int saved = errno;
  (void)signal;
  stopping = 1;
  shutdown(listener, SHUT_RDWR); /* makes accept() return */
  errno = saved;
}

static int send_all(int fd, const char* data, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return -1;
    data += sent;
    length -= (size_t)sent;
  }
  return 0;
}

static void* serve(void* argument) {
  int fd = (int)(long)argument;
  char buffer[4096];
  for (;;) {
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || send_all(fd, buffer, (size_t)got) != 0) break;
  }
  close(fd);
  return NULL;
}

/* The port of "--port N", 0 without it, -1 for anything else. */
static long port_of(int argc, char** argv) {
  char* end;
  long port;
  if (argc == 1) return 0;
  if (argc != 3 || strcmp(argv[1], "--port") != 0) return -1;
  port = strtol(argv[2], &end, 10);
  return *argv[2] == '\0' || *end != '\0' || port < 0 || port > 65535 ? -1 : port;
}

static void listen_on(long port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_port = htons((unsigned short)port);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, (struct sockaddr*)&address, &length) != 0) {
    perror("echo_server");
    exit(1);
  }
  listener = fd;
  signal(SIGTERM, on_term);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
}

int main(int argc, char** argv) {
  long port = port_of(argc, argv);
  pthread_attr_t attributes;
  if (port < 0) {
    fprintf(stderr, "usage: echo_server [--port N]\n");
    return 2;
  }
  listen_on(port);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  while (!stopping) {
    pthread_t thread;
    int error, fd = accept(listener, NULL, NULL);
    if (fd < 0) {
      if (stopping || errno == EINVAL) break;
      if (errno == EMFILE || errno == ENFILE) usleep(10000); /* wait for a connection to end */
      continue;
    }
    error = pthread_create(&thread, &attributes, serve, (void*)(long)fd);
    if (error != 0) {
      fprintf(stderr, "echo_server: no thread for a connection: %s\n", strerror(error));
      close(fd);
    }
  }
  return 0;
}
