// A descriptor is closed, or replaced by dup2, while other threads are blocked on it: the open file lives on
// for them (close(2), NOTES); new calls with the number see what stands there now. shutdown(2) ends all
// waits.
#include "loopback.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

static void* read_one(void* argument) {
  char byte = 0;
  ssize_t count = read(*(int*)argument, &byte, 1);
  return number_pointer(count == 1 ? byte : count == 0 ? 0 : -errno);
}

static void* poll_one(void* argument) {
  struct pollfd entry = {*(int*)argument, POLLIN, 0};
  CHECK(poll(&entry, 1, -1) == 1);
  return number_pointer(entry.revents);
}

static void* receive_one(void* argument) {
  char byte = 0;
  ssize_t count = recv(*(int*)argument, &byte, 1, 0);
  return number_pointer(count == 1 ? byte : count == 0 ? 0 : -errno);
}

static void* accept_one(void* argument) {
  int descriptor = accept(*(int*)argument, NULL, NULL);
  return number_pointer(descriptor < 0 ? -errno : 1);
}

static void pair(int* descriptors) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, descriptors) == 0);
}

// No program can ask whether another thread already stands in a call. A thread that came too late shows it by
// what it got, and then the round is played again with more time: the last one gives seconds.
static const long patience[] = {30, 100, 400, 1500, 6000};
enum { rounds = sizeof patience / sizeof *patience };

// True when both were in their calls before the close: each got one byte.
static int close_under(long time) {
  int descriptors[2];
  pair(descriptors);
  int waiting = descriptors[0];
  pthread_t reader = start_thread(read_one, &waiting), receiver = start_thread(receive_one, &waiting);
  nap(time);
  CHECK(close(descriptors[0]) == 0);
  char byte;
  CHECK_ERRNO(read(descriptors[0], &byte, 1), EBADF);
  ssize_t sent = send(descriptors[1], "xx", 2, MSG_NOSIGNAL);
  CHECK(sent == 2 || (sent == -1 && errno == EPIPE));
  intptr_t first = (intptr_t)join_thread(reader), second = (intptr_t)join_thread(receiver);
  CHECK(first == 'x' || first == -EBADF);
  CHECK(second == 'x' || second == -EBADF);
  CHECK_ERRNO(send(descriptors[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK(close(descriptors[1]) == 0);
  return sent == 2 && first == 'x' && second == 'x';
}

static void closed(void) {
  int round = 0;
  while (!close_under(patience[round])) CHECK(++round < rounds);
  SAY("closed: both readers had been waiting");
}

// True when the first reader was in its call before the number became another descriptor.
static int replace_under(long time) {
  int descriptors[2], others[2];
  pair(descriptors);
  CHECK(pipe(others) == 0);
  int waiting = descriptors[0];
  pthread_t reader = start_thread(read_one, &waiting);
  nap(time);
  CHECK(dup2(others[0], waiting) == waiting);
  pthread_t second = start_thread(read_one, &waiting);
  ssize_t sent = send(descriptors[1], "s", 1, MSG_NOSIGNAL);
  CHECK(sent == 1 || (sent == -1 && errno == EPIPE));
  // The writing end goes after the byte: if both read from the pipe, one of them gets the end of it.
  CHECK(write(others[1], "p", 1) == 1 && close(others[1]) == 0);
  intptr_t one = (intptr_t)join_thread(reader), two = (intptr_t)join_thread(second);
  CHECK(one == 's' ? sent == 1 && two == 'p' : (one == 'p' && two == 0) || (one == 0 && two == 'p'));
  CHECK(close(waiting) == 0 && close(descriptors[1]) == 0 && close(others[0]) == 0);
  return one == 's';
}

static void replaced(void) {
  int round = 0;
  while (!replace_under(patience[round])) CHECK(++round < rounds);
  SAY("replaced: the first read the old file, the second the new one");
}

static void shut_down(void) {
  int descriptors[2], listener = listen_loopback(4);
  pair(descriptors);
  pthread_t threads[] = {start_thread(read_one, &descriptors[0]), start_thread(receive_one, &descriptors[0]),
                         start_thread(poll_one, &descriptors[0]), start_thread(accept_one, &listener)};
  nap(50);
  CHECK(shutdown(descriptors[0], SHUT_RDWR) == 0 && shutdown(listener, SHUT_RDWR) == 0);
  for (int i = 0; i < 4; ++i) SAY("shut down: %d", (int)(intptr_t)join_thread(threads[i]));
  CHECK(close(descriptors[0]) == 0 && close(descriptors[1]) == 0 && close(listener) == 0);
}

// An epoll set forgets a description when its last descriptor is closed, and not before (epoll(7)).
static void* wait_epoll(void* argument) {
  struct epoll_event event;
  int count = epoll_wait(*(int*)argument, &event, 1, -1);
  CHECK(count == 1);
  return number_pointer(event.data.fd);
}
static void in_a_set(void) {
  int first[2], second[2], set = epoll_create1(0);
  CHECK(pipe(first) == 0 && pipe(second) == 0);
  struct epoll_event one = {.events = EPOLLIN, .data.fd = 1}, two = {.events = EPOLLIN, .data.fd = 2};
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, first[0], &one) == 0 &&
        epoll_ctl(set, EPOLL_CTL_ADD, second[0], &two) == 0);
  int copy = dup(first[0]);
  pthread_t waiter = start_thread(wait_epoll, &set);
  nap(30);
  CHECK(close(first[0]) == 0);
  CHECK(write(first[1], "x", 1) == 1);
  SAY("in a set, a copy open: %d", (int)(intptr_t)join_thread(waiter));
  CHECK(close(copy) == 0);
  waiter = start_thread(wait_epoll, &set);
  nap(30);
  CHECK(write(second[1], "x", 1) == 1);
  SAY("in a set, none open: %d", (int)(intptr_t)join_thread(waiter));
  CHECK(close(first[1]) == 0 && close(second[0]) == 0 && close(second[1]) == 0 && close(set) == 0);
}

int main(void) {
  closed();
  replaced();
  shut_down();
  in_a_set();
  return 0;
}
