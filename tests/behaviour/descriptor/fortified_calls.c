// Built with _FORTIFY_SOURCE=2, where the calls go to their checking twins: they block and wake just the
// same. The socket keeps records apart, so that each call gets one.
#include "check.h"

#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>

static int ends[2];

static void* send_three_times(void* argument) {
  for (int i = 0; i < (int)(intptr_t)argument; ++i) {
    nap(5);
    CHECK(send(ends[1], "line\n", 5, 0) == 5);
  }
  return NULL;
}

// A length that the compiler does not know makes it call the checking function.
static void receive_each_way(size_t length) {
  char buffer[64];
  struct pollfd wait[2] = {{ends[0], POLLIN, 0}, {-1, POLLIN, 0}};
  CHECK(read(ends[0], buffer, length) == 5);
  CHECK(recv(ends[0], buffer, length, 0) == 5);
  CHECK(recvfrom(ends[0], buffer, length, 0, NULL, NULL) == 5);
  CHECK(poll(wait, length / 32, 60000) == 1 && wait[0].revents == POLLIN);
  CHECK(ppoll(wait, length / 32, NULL, NULL) == 1);
  CHECK(read(ends[0], buffer, length) == 5);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  CHECK(select(ends[0] + 1, &set, NULL, NULL, NULL) == 1 && FD_ISSET(ends[0], &set));
  FILE* stream = fdopen(dup(ends[0]), "r");
  CHECK(stream != NULL && fgets(buffer, (int)length, stream) == buffer && strcmp(buffer, "line\n") == 0);
  CHECK(fread(buffer, 1, length / 16, stream) == 4 && fgetc(stream) == 10);
  CHECK(fclose(stream) == 0);
}

static void* all(void* argument) {
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  pthread_t sender = start_thread(send_three_times, number_pointer(6));
  volatile size_t length = 64;
  receive_each_way(length);
  join_thread(sender);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
