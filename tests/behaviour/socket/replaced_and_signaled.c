// How Java closes a socket in which a thread waits: dup2(2) puts another file in its place, which natively
// nobody who waits notices, and a signal without SA_RESTART makes them look again (pthread_kill(3),
// signal(7)).
#include "check.h"
//
#include <signal.h>

#include "loopback.h"

enum { kRounds = 150 };
static int replacement;  // its other end is closed: end of file, and no connections

static void handler(int signal) {
  (void)signal;
}

static void* accepts(void* fd) {
  int accepted = accept((int)(intptr_t)fd, NULL, NULL);
  CHECK(accepted == -1);
  CHECK(errno == EINTR || errno == EINVAL);
  return number_pointer(errno == EINTR);
}

static void* receives(void* fd) {
  char byte;
  ssize_t count = recv((int)(intptr_t)fd, &byte, 1, 0);
  CHECK(count == 0 || (count == -1 && errno == EINTR));
  return number_pointer(count == -1);
}

static void* reads(void* fd) {
  char byte;
  ssize_t count = read((int)(intptr_t)fd, &byte, 1);
  CHECK(count == 0 || (count == -1 && errno == EINTR));
  return number_pointer(count == -1);
}

// How many of the threads were in their call when the signal came; the others called afterwards.
static int round_of(int round, int fd, void* (*routine)(void*)) {
  pthread_t thread = start_thread(routine, number_pointer(fd));
  if (round % 3 == 0) nap(2);
  if (round % 3 == 1) sched_yield();
  CHECK(dup2(replacement, fd) == fd);
  if (round % 2 == 0) sched_yield();
  CHECK(pthread_kill(thread, SIGUSR1) == 0);
  return (int)(intptr_t)join_thread(thread);
}

int main(void) {
  struct sigaction action = {.sa_handler = handler};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  int ends[2], pair[2], interrupted = 0;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  close(ends[1]);
  replacement = ends[0];
  for (int round = 0; round < kRounds; ++round) {
    int listener = listen_loopback(5);
    interrupted += round_of(round, listener, accepts);
    close(listener);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    interrupted += round_of(round, pair[0], receives);
    close(pair[0]);
    close(pair[1]);
    CHECK(pipe(pair) == 0);
    interrupted += round_of(round, pair[0], reads);
    close(pair[0]);
    close(pair[1]);
  }
  CHECK(interrupted > 0);
  SAY("nobody waits any more");
  return 0;
}
