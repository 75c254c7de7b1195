// shutdown(2): the peer reads to the end and can still answer; a blocked recv or accept in another thread
// returns; sending afterwards gives EPIPE.
#include "loopback.h"

static int ends[2];

static void* collect_and_answer(void* argument) {
  char buffer[100];
  size_t count = read_all(ends[1], buffer, sizeof buffer);
  CHECK(count == 10);
  nap(10);
  send_all(ends[1], "answer", 6);
  CHECK(close(ends[1]) == 0);
  return argument;
}

static void* block_in_recv(void* argument) {
  char byte;
  CHECK(recv(ends[0], &byte, 1, 0) == 0);
  return argument;
}

static void* block_in_accept(void* argument) {
  CHECK_ERRNO(accept(*(int*)argument, NULL, NULL), EINVAL);
  return NULL;
}

int main(void) {
  int listener = listen_loopback(1);
  ends[0] = connect_loopback(bound_port(listener));
  ends[1] = accept(listener, NULL, NULL);
  CHECK(ends[1] >= 0);
  pthread_t thread = start_thread(collect_and_answer, NULL);
  char buffer[100];
  send_all(ends[0], "0123456789", 10);
  CHECK(shutdown(ends[0], SHUT_WR) == 0);
  CHECK_ERRNO(send(ends[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(read_all(ends[0], buffer, sizeof buffer) == 6 && memcmp(buffer, "answer", 6) == 0);
  join_thread(thread);
  CHECK(close(ends[0]) == 0);
  SAY("half closed");
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  thread = start_thread(block_in_recv, NULL);
  nap(30);
  CHECK(shutdown(ends[0], SHUT_RD) == 0);
  join_thread(thread);
  SAY("recv returned");
  thread = start_thread(block_in_accept, &listener);
  nap(30);
  CHECK(shutdown(listener, SHUT_RDWR) == 0);
  join_thread(thread);
  SAY("accept returned");
  return 0;
}
