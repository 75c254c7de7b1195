// SIGPIPE and SIGXFSZ are for the thread that wrote (signal(7)). One that blocks them gets EPIPE and EFBIG,
// and the signals stay pending for it: the others, for whom they would be the end, never see them, and it
// finds them later, by sigpending, sigtimedwait or when it lets them come.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define THREADS 8

static volatile sig_atomic_t handled;
static pthread_t handled_in;
static pthread_barrier_t meet;
static int file;

static void handle(int signal) {
  CHECK(signal == SIGPIPE);
  handled_in = pthread_self();
  handled = handled + 1;
}

static sigset_t set_of(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

static int is_pending(int signal) {
  sigset_t set;
  CHECK(sigpending(&set) == 0);
  return sigismember(&set, signal);
}

// In turn by each of the calls that write.
static void write_into_nothing(int way) {
  int ends[2];
  char bytes[4] = "abc";
  struct iovec vector = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  CHECK((way == 0 ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) == 0);
  if (way == 0) {
    int end = ends[0];
    ends[0] = ends[1];
    ends[1] = end;
  }
  close(ends[1]);
  switch (way % 5) {
    case 0:
    case 1:
      CHECK_ERRNO(write(ends[0], bytes, sizeof bytes), EPIPE);
      break;
    case 2:
      CHECK_ERRNO(send(ends[0], bytes, sizeof bytes, 0), EPIPE);
      break;
    case 3:
      CHECK_ERRNO(sendmsg(ends[0], &message, 0), EPIPE);
      break;
    case 4:
      CHECK_ERRNO(writev(ends[0], &vector, 1), EPIPE);
      break;
  }
  close(ends[0]);
}

// The usual way to write in a library without SIGPIPE: block, write, take it.
static void* take(void* number) {
  sigset_t set = set_of(SIGPIPE);
  struct timespec at_once = {0, 0};
  siginfo_t info;
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  pthread_barrier_wait(&meet);
  for (int round = 0; round < 20; ++round) {
    write_into_nothing((int)(intptr_t)number + round);
    nap(round % 3);
    CHECK(is_pending(SIGPIPE));
    CHECK(sigtimedwait(&set, &info, &at_once) == SIGPIPE);
    CHECK(info.si_signo == SIGPIPE && info.si_pid == getpid());
    CHECK(!is_pending(SIGPIPE));
    CHECK_ERRNO(sigtimedwait(&set, &info, &at_once), EAGAIN);
  }
  write_into_nothing(1);
  CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
  return NULL;
}

// Ends with it pending.
static void* leave(void* number) {
  sigset_t set;
  sigfillset(&set);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  pthread_barrier_wait(&meet);
  for (int i = 0; i < 10; ++i) {
    write_into_nothing((int)(intptr_t)number + i);
    nap(1);
    CHECK_ERRNO(write(file, "abc", 3), EFBIG);
    nap(1);
    CHECK(is_pending(SIGPIPE) && is_pending(SIGXFSZ));
  }
  return NULL;
}

static void* bystander(void* unused) {
  pthread_barrier_wait(&meet);
  for (int i = 0; i < 60; ++i) {
    nap(1);
    CHECK(!is_pending(SIGPIPE) && !is_pending(SIGXFSZ));
  }
  return unused;
}

int main(void) {
  char name[] = "/tmp/write_signal.XXXXXX";
  CHECK((file = mkstemp(name)) >= 0 && unlink(name) == 0);
  struct rlimit limit = {4096, 4096};
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0 && lseek(file, 4096, SEEK_SET) == 4096);
  CHECK(pthread_barrier_init(&meet, NULL, 2 * THREADS) == 0);
  pthread_t threads[2 * THREADS];
  for (intptr_t i = 0; i < THREADS; ++i) {
    threads[2 * i] = start_thread(leave, number_pointer(i));
    threads[2 * i + 1] = start_thread(bystander, NULL);
  }
  for (int i = 0; i < 2 * THREADS; ++i) join_thread(threads[i]);
  SAY("nobody else was hit");

  struct sigaction action = {.sa_handler = handle};
  CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
  for (intptr_t i = 0; i < THREADS; ++i) {
    threads[2 * i] = start_thread(take, number_pointer(i));
    threads[2 * i + 1] = start_thread(bystander, NULL);
  }
  for (int i = 0; i < 2 * THREADS; ++i) join_thread(threads[i]);
  CHECK(handled == THREADS);
  SAY("taken by whom they were for");
  return 0;
}
