// The error queue (ip(7), IP_RECVERR): a datagram to a port where nobody is; MSG_ERRQUEUE never waits, a
// waiting recv(2) gets the error, poll(2) shows POLLERR, and the queue holds the report with the address it
// was about.
#include "loopback.h"

#include <linux/errqueue.h>
#include <poll.h>

static int to_nobody(struct sockaddr_in* nobody) {
  int closed = bind_loopback(SOCK_DGRAM), one = 1;
  *nobody = loopback_address(bound_port(closed));
  CHECK(close(closed) == 0);
  int descriptor = bind_loopback(SOCK_DGRAM);
  CHECK(setsockopt(descriptor, IPPROTO_IP, IP_RECVERR, &one, sizeof one) == 0);
  return descriptor;
}

static ssize_t take_report(int descriptor, int flags, struct sock_extended_err* report,
                           struct sockaddr_in* about, char* payload, size_t length) {
  union {
    char space[256];
    struct cmsghdr header;
  } control;
  struct iovec part = {payload, length};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_name = about;
  message.msg_namelen = sizeof *about;
  message.msg_control = &control;
  message.msg_controllen = sizeof control;
  ssize_t count = recvmsg(descriptor, &message, MSG_ERRQUEUE | flags);
  if (count < 0) return count;
  CHECK(message.msg_flags == MSG_ERRQUEUE);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_RECVERR);
  memcpy(report, CMSG_DATA(header), sizeof *report);
  return count;
}

static void* receive(void* argument) {
  char byte;
  ssize_t count = recv((int)(intptr_t)argument, &byte, 1, 0);
  return number_pointer(count < 0 ? -errno : count);
}

static void* reports(void* argument) {
  struct sockaddr_in nobody, about;
  struct sock_extended_err report;
  char payload[16];
  int descriptor = to_nobody(&nobody);
  // Without O_NONBLOCK and without MSG_DONTWAIT: it says EAGAIN at once.
  CHECK_ERRNO(take_report(descriptor, 0, &report, &about, payload, sizeof payload), EAGAIN);
  pthread_t receiver = start_thread(receive, number_pointer(descriptor));
  nap(20);
  CHECK(sendto(descriptor, "lost", 4, 0, (struct sockaddr*)&nobody, sizeof nobody) == 4);
  CHECK((intptr_t)join_thread(receiver) == -ECONNREFUSED);
  struct pollfd entry = {descriptor, POLLIN, 0};
  CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLERR);
  CHECK(take_report(descriptor, 0, &report, &about, payload, sizeof payload) == 4 &&
        memcmp(payload, "lost", 4) == 0);
  CHECK(report.ee_errno == ECONNREFUSED && report.ee_origin == SO_EE_ORIGIN_ICMP);
  CHECK(about.sin_port == nobody.sin_port);
  CHECK_ERRNO(take_report(descriptor, MSG_DONTWAIT, &report, &about, payload, sizeof payload), EAGAIN);
  CHECK(poll(&entry, 1, 0) == 0);
  CHECK(close(descriptor) == 0);
  return argument;
}

static void* poll_error(void* argument) {
  struct pollfd entry = {(int)(intptr_t)argument, 0, 0};
  CHECK(poll(&entry, 1, -1) == 1);
  return number_pointer(entry.revents);
}

static void* polled(void* argument) {
  struct sockaddr_in nobody;
  int descriptor = to_nobody(&nobody);
  CHECK(connect(descriptor, (struct sockaddr*)&nobody, sizeof nobody) == 0);
  pthread_t poller = start_thread(poll_error, number_pointer(descriptor));
  nap(20);
  CHECK(send(descriptor, "x", 1, 0) == 1);
  CHECK((intptr_t)join_thread(poller) == POLLERR);
  CHECK_ERRNO(send(descriptor, "y", 1, 0), ECONNREFUSED);
  CHECK(close(descriptor) == 0);
  return argument;
}

int main(void) {
  reports(NULL);
  join_thread(start_thread(reports, NULL));
  SAY("reports");
  join_thread(start_thread(polled, NULL));
  SAY("polled");
  return 0;
}
