// fork(2) in a thread: the child consists of that thread alone, with its thread-locals and errno, and can
// create threads, block, and fork again.
#include "check.h"

#include <sys/socket.h>
#include <sys/wait.h>

static __thread int own = 1;
static pid_t parent;

static void* echo(void* argument) {
  char byte;
  CHECK(recv(*(int*)argument, &byte, 1, 0) == 1);
  nap(2);
  CHECK(send(*(int*)argument, &byte, 1, 0) == 1);
  return number_pointer(byte);
}

static void use_threads(void) {
  pthread_t thread[20];
  int ends[20][2];
  for (int i = 0; i < 20; ++i) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) == 0);
    thread[i] = start_thread(echo, &ends[i][1]);
  }
  for (int i = 0; i < 20; ++i) CHECK(send(ends[i][0], "abcdefghijklmnopqrst" + i, 1, 0) == 1);
  for (int i = 0; i < 20; ++i) {
    char byte;
    CHECK(recv(ends[i][0], &byte, 1, 0) == 1 && byte == 'a' + i);
    CHECK(join_thread(thread[i]) == number_pointer('a' + i));
    CHECK(close(ends[i][0]) == 0 && close(ends[i][1]) == 0);
  }
}

static int expect_exit(pid_t child) {
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void live_in_child(pthread_t self, int generations) {
  CHECK(getpid() != parent && gettid() == getpid() && pthread_equal(self, pthread_self()));
  CHECK(own == 42);
  nap(2);
  use_threads();
  if (generations == 0) return;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    live_in_child(self, generations - 1);
    _exit(10 + generations);
  }
  CHECK(expect_exit(child) == 10 + generations);
}

static void* fork_here(void* argument) {
  own = 42;
  nap(2);
  pthread_t self = pthread_self();
  errno = 4242;
  pid_t child = fork();
  CHECK(child >= 0 && errno == 4242);
  if (child == 0) {
    live_in_child(self, 2);
    _exit(7);
  }
  CHECK(expect_exit(child) == 7);
  use_threads();
  return argument;
}

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

int main(void) {
  parent = getpid();
  for (int i = 0; i < 10; ++i) start_thread(sleep_long, NULL);
  for (int round = 0; round < 3; ++round) {
    pthread_t thread[3];
    for (int i = 0; i < 3; ++i) thread[i] = start_thread(fork_here, NULL);
    for (int i = 0; i < 3; ++i) join_thread(thread[i]);
    SAY("round %d", round);
  }
  own = 42;
  pthread_t self = pthread_self();
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    live_in_child(self, 1);
    _exit(8);
  }
  SAY("from main: %d", expect_exit(child));
  return 0;
}
