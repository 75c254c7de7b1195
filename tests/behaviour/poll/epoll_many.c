// An event loop of the common kind, 110 threads in epoll_wait on one set with EPOLLONESHOT: every request is
// served by one thread, and every thread leaves by an eventfd that stays readable.
#include "loopback.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { threads = 110, connections = 100, requests = 20 };

static int set, stop;
static int served;

static void arm(int operation, int descriptor) {
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.fd = descriptor;
  CHECK(epoll_ctl(set, operation, descriptor, &event) == 0);
}

static void* work(void* argument) {
  for (;;) {
    struct epoll_event event;
    int count = epoll_pwait(set, &event, 1, -1, NULL);
    CHECK(count == 1);
    if (event.data.fd == stop) return argument;
    char buffer[8];
    CHECK(recv(event.data.fd, buffer, sizeof buffer, 0) == 4);
    __atomic_add_fetch(&served, 1, __ATOMIC_SEQ_CST);
    CHECK(send(event.data.fd, buffer, 4, 0) == 4);
    arm(EPOLL_CTL_MOD, event.data.fd);
  }
}

int main(void) {
  pthread_t thread[threads];
  int client[connections];
  CHECK((set = epoll_create1(0)) >= 0 && (stop = eventfd(0, 0)) >= 0);
  for (int i = 0; i < connections; ++i) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    client[i] = ends[0];
    arm(EPOLL_CTL_ADD, ends[1]);
  }
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(work, NULL);
  nap(100);  // all are alive
  for (int request = 0; request < requests; ++request) {
    for (int i = 0; i < connections; ++i) CHECK(send(client[i], &request, sizeof request, 0) == 4);
    for (int i = 0; i < connections; ++i) {
      int answer = -1;
      CHECK(read_all(client[i], &answer, sizeof answer) == 4 && answer == request);
    }
  }
  SAY("%d served", served);
  struct epoll_event event;
  memset(&event, 0, sizeof event);
  event.events = EPOLLIN;
  event.data.fd = stop;
  CHECK(epoll_ctl(set, EPOLL_CTL_ADD, stop, &event) == 0 && eventfd_write(stop, 1) == 0);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("all have left");
  return 0;
}
