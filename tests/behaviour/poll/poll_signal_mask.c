// ppoll(2), pselect(2), epoll_pwait(2): the mask is in force while they wait, so that a signal blocked before
// ends the wait with EINTR, and the old mask is back afterwards.
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

static volatile sig_atomic_t handled;

static void handle(int number) {
  CHECK(number == SIGUSR1);
  ++handled;
}

static void wait_in(int way, const sigset_t* mask) {
  struct epoll_event event;
  int set = epoll_create1(0);
  struct timespec minute = {60, 0};
  CHECK(set >= 0);
  if (way == 0) CHECK_ERRNO(ppoll(NULL, 0, &minute, mask), EINTR);
  if (way == 1) CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &minute, mask), EINTR);
  if (way == 2) CHECK_ERRNO(epoll_pwait(set, &event, 1, 60000, mask), EINTR);
  CHECK(close(set) == 0);
}

static void* all(void* argument) {
  sigset_t blocked, none, found;
  sigemptyset(&none);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
  handled = 0;
  for (int way = 0; way < 3; ++way) {
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0 && handled == way);
    wait_in(way, &none);
    CHECK(handled == way + 1);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &found) == 0 && sigismember(&found, SIGUSR1));
  }
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
