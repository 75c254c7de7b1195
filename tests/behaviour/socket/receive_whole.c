// MSG_WAITALL with recvmsg(2) over scattered buffers, with MSG_PEEK, with a time-out and at the end of the
// stream; what is cancelled meanwhile is a cancellation point. recvmmsg(2): MSG_WAITFORONE, its time-out
// between messages, SO_RCVTIMEO.
#include "loopback.h"

#include <sys/time.h>
#include <sys/uio.h>

static int ends[2];

static void connected(void) {
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0 && close(listener) == 0);
}

static void* send_in_pieces(void* argument) {
  for (const char* next = (const char*)argument; *next != '\0'; ++next) {
    nap(5);
    CHECK(send(ends[1], next, 1, MSG_NOSIGNAL) == 1);
  }
  return NULL;
}

static ssize_t receive(char* first, size_t one, char* second, size_t two, int flags) {
  struct iovec parts[2] = {{first, one}, {second, two}};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  return recvmsg(ends[0], &message, flags);
}

static void* whole(void* argument) {
  char one[4] = "", two[8] = "";
  struct timeval time = {0, 50000};
  connected();
  pthread_t sender = start_thread(send_in_pieces, "0123456789");
  CHECK(receive(one, 3, two, 5, MSG_WAITALL | MSG_PEEK) == 8);
  CHECK(memcmp(one, "012", 3) == 0 && memcmp(two, "34567", 5) == 0);
  CHECK(receive(one, 3, two, 7, MSG_WAITALL) == 10);
  CHECK(memcmp(one, "012", 3) == 0 && memcmp(two, "3456789", 7) == 0);
  join_thread(sender);
  CHECK_ERRNO(receive(one, 3, two, 7, MSG_WAITALL | MSG_DONTWAIT), EAGAIN);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK(send(ends[1], "ab", 2, 0) == 2);
  CHECK(receive(one, 1, two, 7, MSG_WAITALL) == 2 && one[0] == 'a' && two[0] == 'b');
  CHECK_ERRNO(receive(one, 1, two, 7, MSG_WAITALL), EAGAIN);
  CHECK(send(ends[1], "cd", 2, 0) == 2 && shutdown(ends[1], SHUT_WR) == 0);
  CHECK(receive(one, 1, two, 7, MSG_WAITALL) == 2 && receive(one, 1, two, 7, MSG_WAITALL) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return argument;
}

static void* is_cancelled(void* argument) {
  char one[4], two[8];
  if (argument == NULL) {
    receive(one, 3, two, 5, MSG_WAITALL);
  } else {
    recv(ends[0], two, 5, MSG_WAITALL | MSG_PEEK);
  }
  CHECK(!"cancelled");
  return argument;
}

static void cancelled(void* how) {
  connected();
  CHECK(send(ends[1], "ab", 2, 0) == 2);
  pthread_t thread = start_thread(is_cancelled, how);
  nap(20);
  CHECK(pthread_cancel(thread) == 0 && join_thread(thread) == PTHREAD_CANCELED);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

enum { messages = 4 };

static int receive_many(int descriptor, int flags, struct timespec* timeout) {
  static __thread char text[messages][8];
  struct iovec parts[messages];
  struct mmsghdr headers[messages];
  memset(headers, 0, sizeof headers);
  for (int i = 0; i < messages; ++i) {
    parts[i].iov_base = text[i];
    parts[i].iov_len = sizeof text[i];
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  int count = recvmmsg(descriptor, headers, messages, flags, timeout);
  for (int i = 0; i < count; ++i)
    CHECK(headers[i].msg_len == 2 && text[i][0] == 'm' && text[i][1] == '0' + i);
  return count;
}

static void send_many(int descriptor, int count) {
  struct iovec parts[messages];
  struct mmsghdr headers[messages];
  static char text[messages][2] = {{'m', '0'}, {'m', '1'}, {'m', '2'}, {'m', '3'}};
  memset(headers, 0, sizeof headers);
  for (int i = 0; i < count; ++i) {
    parts[i].iov_base = text[i];
    parts[i].iov_len = 2;
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  CHECK(sendmmsg(descriptor, headers, (unsigned)count, 0) == count);
  for (int i = 0; i < count; ++i) CHECK(headers[i].msg_len == 2);
}

static void* send_late(void* argument) {
  nap(60);
  send_many((int)(intptr_t)argument, 1);
  return NULL;
}

static void* many(void* argument) {
  int pair[2];
  struct timeval time = {0, 40000};
  struct timespec soon = milliseconds(20), later = milliseconds(30000);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  send_many(pair[1], 4);
  CHECK(receive_many(pair[0], 0, NULL) == 4);
  send_many(pair[1], 2);
  CHECK(receive_many(pair[0], MSG_WAITFORONE, NULL) == 2);
  send_many(pair[1], 3);
  CHECK(receive_many(pair[0], MSG_DONTWAIT, &later) == 3);
  CHECK_ERRNO(receive_many(pair[0], MSG_DONTWAIT, NULL), EAGAIN);
  send_many(pair[1], 4);
  CHECK(receive_many(pair[0], 0, &later) == 4);
  pthread_t sender = start_thread(send_late, number_pointer(pair[1]));
  CHECK(receive_many(pair[0], 0, &soon) == 1 && "the time is looked at after a message");
  join_thread(sender);
  CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  send_many(pair[1], 2);
  CHECK(receive_many(pair[0], 0, NULL) == 2 && "after SO_RCVTIMEO: what had come");
  CHECK_ERRNO(receive_many(pair[0], 0, NULL), EAGAIN);
  soon.tv_nsec = 1000000000;
  CHECK_ERRNO(receive_many(pair[0], 0, &soon), EINVAL);
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0);
  return argument;
}

int main(void) {
  whole(NULL);
  join_thread(start_thread(whole, NULL));
  SAY("whole");
  cancelled(NULL);
  cancelled(&ends);
  SAY("cancelled");
  many(NULL);
  join_thread(start_thread(many, NULL));
  SAY("many");
  return 0;
}
