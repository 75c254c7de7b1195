// Urgent data: MSG_OOB, sockatmark(3), SIOCATMARK, SO_OOBINLINE, POLLPRI, select's third set and SIGURG, in
// threads that wait (tcp(7), socket(7)).
#include "loopback.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/select.h>

static atomic_int urgent_signals;

static void count_urgent(int number) {
  CHECK(number == SIGURG);
  atomic_fetch_add(&urgent_signals, 1);
}

static void connected(int* ends) {
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0 && close(listener) == 0);
}

static void* poll_urgent(void* argument) {
  struct pollfd entry = {(int)(intptr_t)argument, POLLPRI, 0};
  CHECK(poll(&entry, 1, -1) == 1);
  return number_pointer(entry.revents);
}

static void* select_urgent(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  fd_set set;
  FD_ZERO(&set);
  FD_SET(descriptor, &set);
  CHECK(select(descriptor + 1, NULL, NULL, &set, NULL) == 1 && FD_ISSET(descriptor, &set));
  return NULL;
}

static void* read_twenty(void* argument) {
  char buffer[20];
  ssize_t count = read((int)(intptr_t)argument, buffer, sizeof buffer);
  return number_pointer(count);
}

static void* apart(void* argument) {
  int ends[2], mark = -1;
  char buffer[20], byte = 0;
  connected(ends);
  CHECK_ERRNO(recv(ends[0], &byte, 1, MSG_OOB), EINVAL);
  atomic_store(&urgent_signals, 0);
  CHECK(fcntl(ends[0], F_SETOWN, getpid()) == 0);
  pthread_t poller = start_thread(poll_urgent, number_pointer(ends[0]));
  pthread_t selecter = start_thread(select_urgent, number_pointer(ends[0]));
  nap(20);
  CHECK(send(ends[1], "abc", 3, 0) == 3 && send(ends[1], "!", 1, MSG_OOB) == 1 &&
        send(ends[1], "def", 3, 0) == 3);
  CHECK((intptr_t)join_thread(poller) == POLLPRI);
  join_thread(selecter);
  while (atomic_load(&urgent_signals) == 0) nap(1);
  CHECK(sockatmark(ends[0]) == 0 && ioctl(ends[0], SIOCATMARK, &mark) == 0 && mark == 0);
  CHECK((intptr_t)join_thread(start_thread(read_twenty, number_pointer(ends[0]))) == 3 &&
        "stops at the mark");
  CHECK(sockatmark(ends[0]) == 1 && ioctl(ends[0], SIOCATMARK, &mark) == 0 && mark == 1);
  CHECK(recv(ends[0], &byte, 1, MSG_OOB) == 1 && byte == '!');
  CHECK_ERRNO(recv(ends[0], &byte, 1, MSG_OOB), EINVAL);
  CHECK(read_all(ends[0], buffer, 3) == 3 && memcmp(buffer, "def", 3) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return argument;
}

static void* in_line(void* argument) {
  int ends[2], one = 1;
  char buffer[20];
  connected(ends);
  CHECK(setsockopt(ends[0], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one) == 0);
  CHECK(send(ends[1], "ab", 2, 0) == 2 && send(ends[1], "!", 1, MSG_OOB) == 1 &&
        send(ends[1], "c", 1, 0) == 1);
  CHECK(recv(ends[0], buffer, 2, MSG_WAITALL) == 2 && memcmp(buffer, "ab", 2) == 0);
  poll_urgent(number_pointer(ends[0]));
  CHECK(sockatmark(ends[0]) == 1);
  CHECK_ERRNO(recv(ends[0], buffer, 1, MSG_OOB), EINVAL);
  CHECK(read_all(ends[0], buffer, 2) == 2 && memcmp(buffer, "!c", 2) == 0);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = count_urgent;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGURG, &action, NULL) == 0);
  in_line(NULL);
  join_thread(start_thread(in_line, NULL));
  SAY("in line");
  join_thread(start_thread(apart, NULL));
  SAY("apart");
  return 0;
}
