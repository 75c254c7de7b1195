// select(2), pselect(2): read, write and exceptional sets, time-outs, the time left on Linux, EBADF, EINVAL,
// files.
#include "loopback.h"

#include <fcntl.h>
#include <sys/select.h>

static int ends[2];

static void* write_late(void* argument) {
  nap(20);
  CHECK(write(ends[1], "x", 1) == 1);
  return argument;
}

static void times(void) {
  fd_set readable;
  struct timeval time = {0, 20000};
  struct timespec limit = clock_after(CLOCK_MONOTONIC, 20), short_time = milliseconds(20);
  FD_ZERO(&readable);
  FD_SET(ends[0], &readable);
  CHECK(select(ends[0] + 1, &readable, NULL, NULL, &time) == 0 && clock_reached(CLOCK_MONOTONIC, limit));
  CHECK(!FD_ISSET(ends[0], &readable) && time.tv_sec == 0 && time.tv_usec == 0);
  limit = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(pselect(0, NULL, NULL, NULL, &short_time, NULL) == 0 && clock_reached(CLOCK_MONOTONIC, limit));
  CHECK(short_time.tv_nsec == 20000000);
  time = (struct timeval){0, 0};
  FD_SET(ends[0], &readable);
  CHECK(select(ends[0] + 1, &readable, NULL, NULL, &time) == 0);
  time.tv_sec = -1;
  CHECK_ERRNO(select(ends[0] + 1, &readable, NULL, NULL, &time), EINVAL);
  CHECK_ERRNO(select(-1, NULL, NULL, NULL, NULL), EINVAL);
}

static void sets(void) {
  fd_set readable, writable, exceptional;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_ZERO(&exceptional);
  FD_SET(ends[0], &readable);
  FD_SET(ends[1], &writable);
  FD_SET(ends[0], &exceptional);
  CHECK(select(ends[1] + 1, &readable, &writable, &exceptional, NULL) == 1);
  CHECK(!FD_ISSET(ends[0], &readable) && FD_ISSET(ends[1], &writable) && !FD_ISSET(ends[0], &exceptional));
  struct timeval minute = {60, 0};
  pthread_t writer = start_thread(write_late, NULL);
  FD_SET(ends[0], &readable);
  CHECK(select(ends[0] + 1, &readable, NULL, NULL, &minute) == 1 && FD_ISSET(ends[0], &readable));
  CHECK(minute.tv_sec < 60 && "what is left of the time");
  join_thread(writer);
  FD_ZERO(&readable);
  FD_SET(30, &readable);
  CHECK_ERRNO(select(31, &readable, NULL, NULL, NULL), EBADF);
  int file = open("/proc/self/exe", O_RDONLY);
  FD_ZERO(&readable);
  FD_SET(file, &readable);
  CHECK(select(file + 1, &readable, NULL, NULL, NULL) == 1 && close(file) == 0 && "a file is always ready");
}

static void* send_urgent(void* argument) {
  nap(20);
  CHECK(send(*(int*)argument, "!", 1, MSG_OOB) == 1);
  return NULL;
}

static void urgent(void) {
  int listener = listen_loopback(1), sender = connect_loopback(bound_port(listener));
  int receiver = accept(listener, NULL, NULL);
  CHECK(receiver >= 0);
  pthread_t thread = start_thread(send_urgent, &sender);
  fd_set exceptional;
  FD_ZERO(&exceptional);
  FD_SET(receiver, &exceptional);
  CHECK(select(receiver + 1, NULL, NULL, &exceptional, NULL) == 1 && FD_ISSET(receiver, &exceptional));
  char byte;
  CHECK(recv(receiver, &byte, 1, MSG_OOB) == 1 && byte == '!');
  join_thread(thread);
  CHECK(close(listener) == 0 && close(sender) == 0 && close(receiver) == 0);
}

static void* all(void* argument) {
  CHECK(pipe(ends) == 0);
  times();
  sets();
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  urgent();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
