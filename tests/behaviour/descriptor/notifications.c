// Descriptors that tell of something: inotify(7), signalfd(2), pidfd_open(2), timerfd(2), eventfd(2): read
// blocks until there is something, poll and epoll see them, and a wrong size is refused.
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

static void* read_events(void* argument) {
  char buffer[4096] __attribute__((aligned(8)));
  ssize_t count = read(*(int*)argument, buffer, sizeof buffer);
  CHECK(count > 0);
  const struct inotify_event* event = (const struct inotify_event*)buffer;
  SAY("inotify: mask %x of %s", event->mask, event->len != 0 ? event->name : "-");
  return NULL;
}

static void* read_signal(void* argument) {
  struct signalfd_siginfo info;
  CHECK(read(*(int*)argument, &info, sizeof info) == sizeof info);
  SAY("signalfd: signal %u with %d", info.ssi_signo, info.ssi_int);
  return NULL;
}

static void* poll_for(void* argument) {
  struct pollfd entry = {*(int*)argument, POLLIN, 0};
  CHECK(poll(&entry, 1, 20000) == 1);
  return number_pointer(entry.revents);
}

static void files(void) {
  int watcher = inotify_init1(IN_CLOEXEC);
  CHECK(watcher >= 0 && inotify_add_watch(watcher, ".", IN_CREATE) >= 0);
  pthread_t reader = start_thread(read_events, &watcher);
  nap(30);
  int file = open("made", O_CREAT | O_RDWR, 0600);
  join_thread(reader);
  CHECK(close(file) == 0 && close(watcher) == 0);
}

static void signals(void) {
  sigset_t set;
  CHECK(sigemptyset(&set) == 0 && sigaddset(&set, SIGRTMIN + 1) == 0);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
  pthread_t reader = start_thread(read_signal, &descriptor);
  nap(30);
  union sigval value = {.sival_int = 77};
  CHECK(sigqueue(getpid(), SIGRTMIN + 1, value) == 0);
  join_thread(reader);
  CHECK(close(descriptor) == 0);
}

static void processes(void) {
  int wait_pipe[2];
  CHECK(pipe(wait_pipe) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    close(wait_pipe[1]);
    _exit(read(wait_pipe[0], &byte, 1) == 0 ? 5 : 6);
  }
  CHECK(close(wait_pipe[0]) == 0);
  int descriptor = (int)syscall(SYS_pidfd_open, child, 0);
  CHECK(descriptor >= 0);
  pthread_t waiter = start_thread(poll_for, &descriptor);
  nap(30);
  CHECK(close(wait_pipe[1]) == 0);
  CHECK(join_thread(waiter) == number_pointer(POLLIN));
  siginfo_t info;
  CHECK(waitid(P_PIDFD, (id_t)descriptor, &info, WEXITED) == 0 && info.si_pid == child);
  SAY("pidfd: status %d", info.si_status);
  CHECK(close(descriptor) == 0);
}

static void* expire(void* argument) {
  int timer = timerfd_create(CLOCK_MONOTONIC, 0), set = epoll_create1(0);
  struct itimerspec setting = {{0, 3000000}, {0, 3000000}};
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  CHECK(timerfd_settime(timer, 0, &setting, NULL) == 0 && epoll_ctl(set, EPOLL_CTL_ADD, timer, &event) == 0);
  uint64_t times, total = 0;
  while (total < 10) {
    CHECK(epoll_wait(set, &event, 1, 10000) == 1);
    CHECK(read(timer, &times, sizeof times) == sizeof times && times > 0);
    total += times;
  }
  CHECK_ERRNO(read(timer, &times, 4), EINVAL);
  CHECK(close(timer) == 0 && close(set) == 0);
  return argument;
}

static void* wrong_sizes(void* argument) {
  int counter = eventfd(1, 0);
  uint64_t value = ~(uint64_t)0;
  CHECK_ERRNO(read(counter, &value, 4), EINVAL);
  CHECK_ERRNO(write(counter, &value, 4), EINVAL);
  CHECK_ERRNO(write(counter, &value, 8), EINVAL);
  CHECK(close(counter) == 0);
  counter = eventfd(0, EFD_NONBLOCK);
  CHECK_ERRNO(read(counter, &value, 8), EAGAIN);
  value = ~(uint64_t)0 - 1;
  CHECK(write(counter, &value, 8) == 8);
  CHECK_ERRNO(write(counter, &value, 8), EAGAIN);
  ++value;
  CHECK_ERRNO(write(counter, &value, 8), EINVAL);
  CHECK(close(counter) == 0);
  return argument;
}

int main(void) {
  files();
  signals();
  processes();
  join_thread(start_thread(expire, NULL));
  join_thread(start_thread(wrong_sizes, NULL));
  return 0;
}
