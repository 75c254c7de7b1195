// pthread_setcancelstate(3): with cancellation disabled a request changes nothing in any wait, also in those
// that a signal would end, and acts at the first cancellation point after it is enabled.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

static int pair[2], events;
static sem_t ready, never;
static const struct timespec moment = {0, 60 * 1000000};
enum { kLarge = 1 << 20 };
static char data[kLarge];

static int polls(void) {
  struct pollfd descriptor = {pair[0], POLLIN, 0};
  return poll(&descriptor, 1, 60);
}
static int ppolls(void) {
  return ppoll(NULL, 0, &moment, NULL);
}
static int selects(void) {
  struct timeval time = {0, 60000};
  return select(0, NULL, NULL, NULL, &time);
}
static int pselects(void) {
  return pselect(0, NULL, NULL, NULL, &moment, NULL);
}
static int waits_for_events(void) {
  struct epoll_event event;
  return epoll_wait(events, &event, 1, 60);
}
static int sleeps(void) {
  return clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
}
static int waits_for_signal(void) {
  sigset_t none;
  sigemptyset(&none);
  return sigtimedwait(&none, NULL, &moment) == -1 && errno == EAGAIN ? 0 : -1;
}
static int waits_for_semaphore(void) {
  struct timespec until = clock_after(CLOCK_REALTIME, 60);
  return sem_timedwait(&never, &until) == -1 && errno == ETIMEDOUT ? 0 : -1;
}
static int receives(void) {  // with a time-out of the socket's own
  char byte;
  return recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN ? 0 : -1;
}
static int sends(void) {  // more than there is room for: all of it, not a part
  return send(pair[0], data, kLarge, 0) == kLarge ? 0 : -1;
}

static void* tries(void* call) {
  int before;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
  CHECK(sem_post(&ready) == 0);
  errno = 0;
  CHECK((*(int (**)(void))call)() == 0);
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL) == 0);
  pthread_testcancel();
  return NULL;
}

// A pending request acts in read(2), whatever the descriptor is.
static void* reads_file(void* fd) {
  char byte;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  sem_post(&ready);
  sem_wait(&never);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  if (read(*(int*)fd, &byte, 1) == 1) return NULL;
  return NULL;
}

int main(void) {
  static int (*calls[])(void) = {
      polls,    ppolls, selects, pselects, waits_for_events, sleeps, waits_for_signal, waits_for_semaphore,
      receives, sends};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  struct timeval time = {0, 60000};
  CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) == 0);
  CHECK((events = epoll_create1(EPOLL_CLOEXEC)) >= 0);
  CHECK(sem_init(&ready, 0, 0) == 0 && sem_init(&never, 0, 0) == 0);
  for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i) {
    pthread_t thread = start_thread(tries, &calls[i]);
    CHECK(sem_wait(&ready) == 0);
    nap(20);
    CHECK(pthread_cancel(thread) == 0);
    for (size_t got = 0; calls[i] == sends && got < kLarge;) {
      ssize_t part = recv(pair[1], data, kLarge, 0);
      CHECK(part > 0);
      got += (size_t)part;
    }
    CHECK(join_thread(thread) == PTHREAD_CANCELED);
  }
  SAY("undisturbed");
  static int fds[3];
  CHECK((fds[0] = open("/proc/self/exe", O_RDONLY)) >= 0 && (fds[1] = open("/dev/null", O_RDWR)) >= 0);
  fds[2] = 1000;  // not open
  for (int i = 0; i < 3; ++i) {
    pthread_t thread = start_thread(reads_file, &fds[i]);
    CHECK(sem_wait(&ready) == 0);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(sem_post(&never) == 0);
    CHECK(join_thread(thread) == PTHREAD_CANCELED);
  }
  SAY("files");
  return 0;
}
