// SO_RCVLOWAT (socket(7)): a blocking receive waits for that many bytes, or as many as were asked for;
// poll(2) and epoll(7) for that many; a time-out and the end of the stream give what there is.
#include "loopback.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

static int ends[2];

static void connected(int low_water) {
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0 && close(listener) == 0);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water) == 0);
}

static void disconnect(void) {
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void* send_in_pieces(void* argument) {
  for (const char* next = (const char*)argument; *next != '\0'; ++next) {
    nap(10);
    CHECK(send(ends[1], next, 1, MSG_NOSIGNAL) == 1);
  }
  return NULL;
}

static void* all(void* argument) {
  char buffer[32];
  struct timeval time = {0, 50000};
  connected(4);
  pthread_t sender = start_thread(send_in_pieces, "abcd");
  CHECK(recv(ends[0], buffer, sizeof buffer, 0) == 4 && memcmp(buffer, "abcd", 4) == 0);
  join_thread(sender);
  sender = start_thread(send_in_pieces, "efghi");
  CHECK(read(ends[0], buffer, 2) == 2 && memcmp(buffer, "ef", 2) == 0 && "no more than was asked for");
  join_thread(sender);
  CHECK(recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT) == 3 && "what there is");
  CHECK_ERRNO(recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);

  struct pollfd entry = {ends[0], POLLIN, 0};
  CHECK(send(ends[1], "abc", 3, 0) == 3);
  CHECK(poll(&entry, 1, 20) == 0 && "three are not enough");
  sender = start_thread(send_in_pieces, "d");
  CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLIN);
  join_thread(sender);
  CHECK(recv(ends[0], buffer, sizeof buffer, 0) == 4);

  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK(send(ends[1], "xy", 2, 0) == 2);
  CHECK(recv(ends[0], buffer, sizeof buffer, 0) == 2 && "after the time-out");
  CHECK_ERRNO(recv(ends[0], buffer, sizeof buffer, 0), EAGAIN);
  disconnect();

  connected(4);
  CHECK(send(ends[1], "xy", 2, 0) == 2 && shutdown(ends[1], SHUT_WR) == 0);
  CHECK(recv(ends[0], buffer, sizeof buffer, 0) == 2 && recv(ends[0], buffer, sizeof buffer, 0) == 0);
  disconnect();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
