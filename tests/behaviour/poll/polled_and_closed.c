// Descriptors that another thread closes, or puts another file in place of, while poll(2) waits for them: it
// goes on with the files that it found, and an event there, also one just before the close, ends it
// (select(2), NOTES).
#include "check.h"
//
#include <poll.h>
#include <signal.h>

enum { kRounds = 60, kPollers = 3 };
static int quiet[2];

struct pipes {
  int first[2], second[2];
};

static void* polls(void* argument) {
  const struct pipes* pipes = argument;
  struct pollfd set[3] = {{pipes->first[0], POLLIN, 0}, {quiet[0], POLLIN, 0}, {pipes->second[0], POLLIN, 0}};
  CHECK(poll(set, 3, 20000) >= 1);
  CHECK(set[0].revents != 0 && set[1].revents == 0);
  return NULL;
}

static void make(struct pipes* pipes) {
  CHECK(pipe(pipes->first) == 0 && pipe(pipes->second) == 0);
}

static void start(struct pipes* pipes, pthread_t* threads, int round) {
  for (int i = 0; i < kPollers; ++i) threads[i] = start_thread(polls, pipes);
  nap(1 + round % 4);
}

static void end(struct pipes* pipes, const pthread_t* threads) {
  for (int i = 0; i < kPollers; ++i) join_thread(threads[i]);
  close(pipes->second[0]);
  close(pipes->second[1]);
}

// The event comes first.
static void write_and_close(int round) {
  struct pipes pipes;
  pthread_t threads[kPollers];
  make(&pipes);
  start(&pipes, threads, round);
  CHECK(write(pipes.first[1], "x", 1) == 1);
  close(pipes.first[1]);
  close(pipes.first[0]);
  end(&pipes, threads);
}

// The end of the other side comes when the number is closed already.
static void close_both(int round) {
  struct pipes pipes;
  pthread_t threads[kPollers];
  make(&pipes);
  start(&pipes, threads, round);
  close(pipes.first[0]);
  close(pipes.first[1]);
  end(&pipes, threads);
}

// A number that is something else by then, which has an event too: those who had not called yet see that one.
static void replace(int round) {
  struct pipes pipes;
  pthread_t threads[kPollers];
  make(&pipes);
  start(&pipes, threads, round);
  int other[2];
  CHECK(pipe(other) == 0);
  close(other[1]);
  CHECK(dup2(other[0], pipes.first[0]) == pipes.first[0]);
  if (round % 2 == 0) nap(1);
  (void)!write(pipes.first[1], "x", 1);  // EPIPE where nobody polls the old file any more
  close(pipes.first[1]);
  close(pipes.first[0]);
  close(other[0]);
  end(&pipes, threads);
}

static int lowest_free(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  CHECK(pipe(quiet) == 0);
  int before = lowest_free();
  for (int round = 0; round < kRounds; ++round) {
    write_and_close(round);
    close_both(round);
    replace(round);
  }
  CHECK(lowest_free() == before);
  SAY("every poll ended");
  return 0;
}
