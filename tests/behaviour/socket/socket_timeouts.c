// socket(7), SO_RCVTIMEO and SO_SNDTIMEO: EAGAIN not before the time, for recv, read, recvmsg, accept, send;
// partial transfers give their count; a zero time is none.
#include "loopback.h"

#include <sys/time.h>
#include <sys/uio.h>

static struct timespec limit;

static void set_time(int descriptor, int option, int count) {
  struct timeval time = {0, count * 1000};
  CHECK(setsockopt(descriptor, SOL_SOCKET, option, &time, sizeof time) == 0);
  limit = clock_after(CLOCK_MONOTONIC, count - 9);  // the kernel counts in ticks, of up to ten milliseconds
}

static void receive_times_out(int end) {
  char buffer[8];
  struct iovec part = {buffer, sizeof buffer};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  set_time(end, SO_RCVTIMEO, 30);
  CHECK_ERRNO(recv(end, buffer, sizeof buffer, 0), EAGAIN);
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  CHECK_ERRNO(read(end, buffer, sizeof buffer), EAGAIN);
  CHECK_ERRNO(recvfrom(end, buffer, sizeof buffer, 0, NULL, NULL), EAGAIN);
  CHECK_ERRNO(recvmsg(end, &message, 0), EAGAIN);
  CHECK_ERRNO(readv(end, &part, 1), EAGAIN);
}

static void send_times_out(int end) {
  static char large[1 << 20];
  set_time(end, SO_SNDTIMEO, 30);
  ssize_t count = send(end, large, sizeof large, 0);
  CHECK(count > 0 && count < (ssize_t)sizeof large && "part of it went out before the time was up");
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  while ((count = send(end, large, 1, 0)) == 1) {
  }
  CHECK(count == -1 && errno == EAGAIN);
  CHECK_ERRNO(write(end, large, sizeof large), EAGAIN);
}

static void* send_late(void* argument) {
  nap(60);
  CHECK(send(*(int*)argument, "late", 4, 0) == 4);
  return NULL;
}

static void partial_and_none(int ends[2]) {
  char buffer[8];
  CHECK(send(ends[1], "part", 4, 0) == 4);
  CHECK(recv(ends[0], buffer, 8, MSG_WAITALL) == 4 && "what came before the time was up");
  set_time(ends[0], SO_RCVTIMEO, 0);
  pthread_t sender = start_thread(send_late, &ends[1]);
  CHECK(recv(ends[0], buffer, 8, 0) == 4);
  join_thread(sender);
}

static void accept_times_out(void) {
  int listener = listen_loopback(5);
  set_time(listener, SO_RCVTIMEO, 30);
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  int client = connect_loopback(bound_port(listener)), accepted = accept(listener, NULL, NULL);
  CHECK(accepted >= 0);
  CHECK(close(client) == 0 && close(accepted) == 0 && close(listener) == 0);
}

static void* all_timeouts(void* argument) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  receive_times_out(ends[0]);
  partial_and_none(ends);
  send_times_out(ends[0]);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  accept_times_out();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all_timeouts("main");
  join_thread(start_thread(all_timeouts, "a thread"));
  return 0;
}
