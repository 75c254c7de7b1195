// sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2): scattered buffers, a passed descriptor which then blocks
// and works in a thread, MSG_CTRUNC, MSG_TRUNC in msg_flags.
#include "loopback.h"

#include <sys/uio.h>

static int ends[2];

static void* send_late(void* argument) {
  nap(20);
  struct iovec parts[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  CHECK(sendmsg(ends[1], &message, 0) == 5);
  return argument;
}

static void scattered(void) {
  char first[2], second[10];
  struct iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  pthread_t sender = start_thread(send_late, NULL);
  CHECK(recvmsg(ends[0], &message, 0) == 5 && message.msg_flags == 0);
  CHECK(memcmp(first, "ab", 2) == 0 && memcmp(second, "cde", 3) == 0);
  join_thread(sender);
  CHECK(send(ends[1], "more than there is room", 23, 0) == 23);
  CHECK(recvmsg(ends[0], &message, 0) == 12 && message.msg_flags == MSG_TRUNC);
}

static void send_descriptor(int passed) {
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
  } control;
  struct iovec part = {"d", 1};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  memset(&control, 0, sizeof control);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
  CHECK(sendmsg(ends[1], &message, 0) == 1);
}

static void* receive_and_read(void* argument) {
  union {
    char space[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
  } control;
  char byte;
  struct iovec part = {&byte, 1};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  CHECK(recvmsg(ends[0], &message, MSG_CMSG_CLOEXEC) == 1 && message.msg_flags == MSG_CMSG_CLOEXEC);
  int received;
  memcpy(&received, CMSG_DATA(&control.header), sizeof received);
  CHECK(read(received, &byte, 1) == 1 && byte == 'p');
  CHECK(close(received) == 0);
  return argument;
}

static void passed_descriptor(void) {
  int pipe_ends[2];
  CHECK(pipe(pipe_ends) == 0);
  pthread_t receiver = start_thread(receive_and_read, NULL);
  nap(10);
  send_descriptor(pipe_ends[0]);
  CHECK(close(pipe_ends[0]) == 0);
  nap(10);
  CHECK(write(pipe_ends[1], "p", 1) == 1);
  join_thread(receiver);
  char byte;
  struct iovec part = {&byte, 1};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  send_descriptor(pipe_ends[1]);
  CHECK(recvmsg(ends[0], &message, 0) == 1 && message.msg_flags == MSG_CTRUNC &&
        "no room for the descriptor");
  CHECK(close(pipe_ends[1]) == 0);
}

static void several(void) {
  char buffers[4][8];
  struct iovec parts[4];
  struct mmsghdr messages[4];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 4; ++i) {
    parts[i] = (struct iovec){buffers[i], (size_t)i + 1};
    memset(buffers[i], 'a' + i, sizeof buffers[i]);
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  CHECK(sendmmsg(ends[1], messages, 4, 0) == 4 && messages[3].msg_len == 4);
  memset(buffers, 0, sizeof buffers);
  CHECK(recvmmsg(ends[0], messages, 4, 0, NULL) == 4 && messages[2].msg_len == 3 && buffers[3][3] == 'd');
  CHECK_ERRNO(recvmmsg(ends[0], messages, 4, MSG_DONTWAIT, NULL), EAGAIN);
  CHECK(send(ends[1], "x", 1, 0) == 1);
  CHECK(recvmmsg(ends[0], messages, 4, MSG_WAITFORONE, NULL) == 1);
  struct timespec time = milliseconds(20);
  pthread_t sender = start_thread(send_late, NULL);
  parts[0].iov_len = 8;
  CHECK(recvmmsg(ends[0], messages, 1, 0, &time) == 1 && messages[0].msg_len == 5);
  join_thread(sender);
}

static void* all(void* argument) {
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  scattered();
  passed_descriptor();
  several();
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
