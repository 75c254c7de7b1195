// flock(2), lockf(3), fcntl(2) record locks and open file description locks, between threads and a child
// process: who waits gets the lock when it is given up, the try fails meanwhile, and other threads go on.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/wait.h>

static atomic_int order, ticks, over, tried;

static void* tick(void* argument) {
  while (!atomic_load(&over)) {
    nap(1);
    atomic_fetch_add(&ticks, 1);
  }
  return argument;
}

static int open_file(void) {
  int descriptor = open("file", O_RDWR | O_CREAT, 0600);
  CHECK(descriptor >= 0);
  return descriptor;
}

static struct flock record(int type) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = (short)type;
  lock.l_whence = SEEK_SET;
  lock.l_len = 10;
  return lock;
}

static int lock_by(int kind, int descriptor, int wait) {
  struct flock lock = record(F_WRLCK);
  switch (kind) {
    case 0:
      return flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB));
    case 1:
      return fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
    case 2:
      return fcntl(descriptor, wait ? F_SETLKW : F_SETLK, &lock);
    default:
      return lockf(descriptor, wait ? F_LOCK : F_TLOCK, 10);
  }
}

static void* wait_for(void* argument) {
  int kind = (int)(intptr_t)argument, descriptor = open_file();
  CHECK(lock_by(kind, descriptor, 0) == -1 && (errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK));
  atomic_store(&tried, 1);
  CHECK(lock_by(kind, descriptor, 1) == 0);
  CHECK(atomic_load(&order) == 1 && "not before it was given up");
  CHECK(close(descriptor) == 0);
  return NULL;
}

// Record locks belong to a process, so the holder is a child; of the others, too, for the same course of
// events.
static void by_a_child(int kind) {
  int told[2], ready[2];
  char byte;
  CHECK(pipe(told) == 0 && pipe(ready) == 0);
  atomic_store(&order, 0);
  atomic_store(&tried, 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    int descriptor = open_file();
    close(told[1]);
    CHECK(lock_by(kind, descriptor, 1) == 0 && write(ready[1], "r", 1) == 1);
    CHECK(read(told[0], &byte, 1) == 0);
    _exit(0);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  pthread_t waiter = start_thread(wait_for, number_pointer(kind));
  while (atomic_load(&tried) == 0) nap(1);
  int before = atomic_load(&ticks);
  while (atomic_load(&ticks) < before + 20) nap(1);
  atomic_store(&order, 1);
  CHECK(close(told[1]) == 0);
  join_thread(waiter);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(close(told[0]) == 0 && close(ready[0]) == 0 && close(ready[1]) == 0);
}

static void handle(int number) {
  (void)number;
}
static void* is_interrupted(void* argument) {
  int descriptor = open_file();
  CHECK_ERRNO(flock(descriptor, LOCK_EX), EINTR);
  CHECK(close(descriptor) == 0);
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t ticker = start_thread(tick, NULL);
  for (int kind = 0; kind < 4; ++kind) by_a_child(kind);
  int holder = open_file();
  CHECK(flock(holder, LOCK_EX) == 0);
  pthread_t waiter = start_thread(is_interrupted, NULL);
  nap(50);
  CHECK(pthread_kill(waiter, SIGUSR1) == 0);
  join_thread(waiter);
  CHECK(close(holder) == 0);
  atomic_store(&over, 1);
  join_thread(ticker);
  SAY("four kinds");
  return 0;
}
