// recv(2): MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_TRUNC, and their combinations, in a thread.
#include "loopback.h"

static int ends[2];

static void* send_in_pieces(void* argument) {
  const char* text = (const char*)argument;
  for (const char* next = text; *next != '\0'; ++next) {
    nap(3);
    CHECK(send(ends[1], next, 1, 0) == 1);
  }
  return NULL;
}

static void* send_and_shut(void* argument) {
  send_in_pieces(argument);
  CHECK(shutdown(ends[1], SHUT_WR) == 0);
  return NULL;
}

static void streams(void) {
  char buffer[16] = "";
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK_ERRNO(recv(ends[0], buffer, 1, MSG_DONTWAIT), EAGAIN);
  CHECK_ERRNO(recv(ends[0], buffer, 5, MSG_DONTWAIT | MSG_WAITALL), EAGAIN);
  pthread_t sender = start_thread(send_in_pieces, "hello");
  CHECK(recv(ends[0], buffer, 5, MSG_PEEK) >= 1 && buffer[0] == 'h');
  CHECK(recv(ends[0], buffer, 5, MSG_WAITALL) == 5 && memcmp(buffer, "hello", 5) == 0);
  join_thread(sender);
  sender = start_thread(send_and_shut, "bye");
  CHECK(recv(ends[0], buffer, 10, MSG_WAITALL) == 3 && memcmp(buffer, "bye", 3) == 0);
  CHECK(recv(ends[0], buffer, 10, MSG_WAITALL) == 0);
  join_thread(sender);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void tcp_wait_all(void) {
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0);
  char buffer[16] = "";
  pthread_t sender = start_thread(send_in_pieces, "0123456789");
  CHECK(recv(ends[0], buffer, 4, MSG_WAITALL | MSG_PEEK) == 4);
  CHECK(recv(ends[0], buffer, 10, MSG_WAITALL) == 10 && memcmp(buffer, "0123456789", 10) == 0);
  join_thread(sender);
  CHECK(send(ends[1], "discarded", 9, 0) == 9);
  CHECK(recv(ends[0], NULL, 9, MSG_TRUNC | MSG_WAITALL) == 9 && "tcp(7): the data is thrown away");
  CHECK_ERRNO(recv(ends[0], buffer, 1, MSG_DONTWAIT), EAGAIN);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(listener) == 0);
}

static void datagrams(void) {
  char buffer[4];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  pthread_t sender = start_thread(send_in_pieces, "x");
  CHECK(recv(ends[0], buffer, sizeof buffer, MSG_PEEK) == 1 && buffer[0] == 'x');
  CHECK(recv(ends[0], buffer, sizeof buffer, MSG_WAITALL) == 1 && "MSG_WAITALL has no effect on datagrams");
  join_thread(sender);
  CHECK(send(ends[1], "longer than it", 14, 0) == 14);
  CHECK(recv(ends[0], buffer, sizeof buffer, MSG_TRUNC) == 14);
  CHECK_ERRNO(recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  CHECK_ERRNO(recv(ends[0], buffer, sizeof buffer, MSG_OOB), EOPNOTSUPP);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void* all_flags(void* argument) {
  streams();
  tcp_wait_all();
  datagrams();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all_flags("main");
  join_thread(start_thread(all_flags, "a thread"));
  return 0;
}
