// SO_LINGER (socket(7)): with time 0 a close is a reset, which everybody who waits at the other end sees;
// with a time, close waits until the rest has been taken, or that long.
#include "loopback.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>

static void connected(int* ends) {
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0 && close(listener) == 0);
}

static void set_linger(int descriptor, int seconds) {
  struct linger linger = {1, seconds};
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
}

static void* receive(void* argument) {
  char byte;
  ssize_t count = recv((int)(intptr_t)argument, &byte, 1, 0);
  return number_pointer(count < 0 ? -errno : count);
}

static void* poll_one(void* argument) {
  struct pollfd entry = {(int)(intptr_t)argument, POLLIN | POLLOUT | POLLRDHUP, 0};
  entry.events = POLLIN | POLLRDHUP;
  CHECK(poll(&entry, 1, -1) == 1);
  return number_pointer(entry.revents);
}

static void* fill(void* argument) {
  static const char block[65536];
  ssize_t count;
  while ((count = send((int)(intptr_t)argument, block, sizeof block, MSG_NOSIGNAL)) > 0) continue;
  return number_pointer(-errno);
}

static void reset_seen_by(const char* who, void* (*wait)(void*)) {
  int ends[2];
  connected(ends);
  pthread_t waiter = start_thread(wait, number_pointer(ends[0]));
  nap(30);
  set_linger(ends[1], 0);
  CHECK(close(ends[1]) == 0);
  SAY("a reset, seen by %s: %d", who, (int)(intptr_t)join_thread(waiter));
  char byte;
  ssize_t count = recv(ends[0], &byte, 1, 0);
  CHECK(count == 0 || (count == -1 && errno == ECONNRESET));
  CHECK_ERRNO(send(ends[0], &byte, 1, MSG_NOSIGNAL), EPIPE);
  CHECK(close(ends[0]) == 0);
}

static void* drain_later(void* argument) {
  static __thread char block[65536];
  nap(100);
  size_t total = 0, count;
  while ((count = read_all((int)(intptr_t)argument, block, sizeof block)) > 0) total += count;
  return number_pointer((intptr_t)total);
}

static void* close_waits(void* argument) {
  static const char block[65536];
  int ends[2];
  connected(ends);
  size_t sent = 0;
  ssize_t count;
  while ((count = send(ends[1], block, sizeof block, MSG_DONTWAIT)) > 0) sent += (size_t)count;
  CHECK(errno == EAGAIN && sent > 0);
  set_linger(ends[1], 60);
  pthread_t reader = start_thread(drain_later, number_pointer(ends[0]));
  struct timespec early = clock_after(CLOCK_MONOTONIC, 30);
  CHECK(close(ends[1]) == 0);
  CHECK(clock_reached(CLOCK_MONOTONIC, early) && "the reader began after 100 ms");
  CHECK((size_t)(intptr_t)join_thread(reader) == sent);
  CHECK(close(ends[0]) == 0);
  return argument;
}

static void* close_gives_up(void* argument) {
  static const char block[65536];
  int ends[2];
  connected(ends);
  while (send(ends[1], block, sizeof block, MSG_DONTWAIT) > 0) continue;
  set_linger(ends[1], 1);
  struct timespec end = clock_after(CLOCK_MONOTONIC, 990);
  CHECK(close(ends[1]) == 0);
  CHECK(clock_reached(CLOCK_MONOTONIC, end));
  CHECK(close(ends[0]) == 0);
  return argument;
}

int main(void) {
  reset_seen_by("recv", receive);
  reset_seen_by("poll", poll_one);
  reset_seen_by("send", fill);
  join_thread(start_thread(close_waits, NULL));
  SAY("close waited for the reader");
  pthread_t several[8];
  for (int i = 0; i < 8; ++i) several[i] = start_thread(close_gives_up, NULL);
  for (int i = 0; i < 8; ++i) join_thread(several[i]);
  SAY("close gave up after its time");
  return 0;
}
