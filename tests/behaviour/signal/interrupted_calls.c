// signal(7), "Interruption of system calls": in main, with threads beside it, a handler without SA_RESTART
// gives EINTR from read, recv, accept, poll, nanosleep and sem_wait; poll and nanosleep give it with
// SA_RESTART too.
#include "loopback.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>

static pthread_t main_thread;
static int stop;

static void handle(int number) {
  (void)number;
}

static void install(int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  action.sa_flags = flags;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
}

static void* interrupt_often(void* argument) {
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    nap(5);
    CHECK(pthread_kill(main_thread, SIGUSR1) == 0);
  }
  return argument;
}

static void* call_all(void* argument) {
  int ends[2], sockets[2], listener = listen_loopback(1);
  char byte;
  sem_t semaphore;
  struct timespec minute = {60, 0};
  main_thread = pthread_self();
  stop = 0;
  CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 &&
        sem_init(&semaphore, 0, 0) == 0);
  install(0);
  pthread_t thread = start_thread(interrupt_often, NULL);
  CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
  CHECK_ERRNO(recv(sockets[0], &byte, 1, 0), EINTR);
  CHECK_ERRNO(accept(listener, NULL, NULL), EINTR);
  CHECK_ERRNO(sem_wait(&semaphore), EINTR);
  for (int round = 0; round < 2; ++round) {
    struct pollfd wait = {ends[0], POLLIN, 0};
    CHECK_ERRNO(poll(&wait, 1, 60000), EINTR);
    CHECK_ERRNO(nanosleep(&minute, NULL), EINTR);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL) == EINTR);
    CHECK(sleep(60) > 0);
    install(SA_RESTART);
  }
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  join_thread(thread);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(listener) == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  call_all("main");
  join_thread(start_thread(call_all, "a thread"));
  return 0;
}
