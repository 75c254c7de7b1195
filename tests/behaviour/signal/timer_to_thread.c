// timer_create(2) with SIGEV_THREAD_ID: the signal is for that thread alone, as databases do it for the time
// limits of queries, and profilers.
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { kClients = 20 };

static timer_t create_timer(pid_t thread, int signal, int value) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_notify_thread_id = thread;
  event.sigev_signo = signal;
  event.sigev_value.sival_int = value;
  timer_t timer;
  CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  return timer;
}

static void arm(timer_t timer, long first, long interval) {
  struct itimerspec times = {milliseconds(interval), milliseconds(first)};
  CHECK(timer_settime(timer, 0, &times, NULL) == 0);
}

static _Thread_local int handled, last_value;
static atomic_int handled_elsewhere;
static _Thread_local int expects_signals;

static void handle(int number, siginfo_t* info, void* context) {
  (void)context;
  if (!expects_signals) ++handled_elsewhere;
  CHECK(number == SIGRTMIN + 1 && info->si_code == SI_TIMER);
  ++handled;
  last_value = info->si_value.sival_int;
}

// Its sleep ends, and nobody else's.
static void* sleep_until_signal(void* argument) {
  expects_signals = 1;
  timer_t timer = create_timer(gettid(), SIGRTMIN + 1, (int)(intptr_t)argument);
  arm(timer, 20, 100);
  struct timespec longer = {100, 0}, left;
  CHECK(nanosleep(&longer, &left) == -1 && errno == EINTR && left.tv_sec >= 90);
  CHECK(handled >= 1 && last_value == (int)(intptr_t)argument);
  arm(timer, 0, 0);
  struct itimerspec rest;
  CHECK(timer_gettime(timer, &rest) == 0 && rest.it_value.tv_sec == 0 && rest.it_value.tv_nsec == 0);
  CHECK(timer_getoverrun(timer) >= 0 && timer_delete(timer) == 0);
  return NULL;
}

static void* compute_until_signal(void* unused) {
  expects_signals = 1;
  timer_t timer = create_timer(gettid(), SIGRTMIN + 1, 7);
  arm(timer, 10, 10);
  volatile int* seen = &handled;
  while (*seen < 3) {
  }
  CHECK(last_value == 7 && timer_delete(timer) == 0);
  return unused;
}

static void* count_overruns(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  timer_t timer = create_timer(gettid(), SIGRTMIN + 2, 5);
  arm(timer, 1, 2);
  nap(100);
  siginfo_t info;
  CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 2 && info.si_code == SI_TIMER && info.si_value.sival_int == 5);
  CHECK(info.si_overrun >= 10 && timer_getoverrun(timer) == info.si_overrun);
  arm(timer, 0, 0);
  struct timespec none = {0, 0};
  while (sigtimedwait(&set, &info, &none) > 0) CHECK(info.si_overrun < 10);
  CHECK(timer_delete(timer) == 0);
  return unused;
}

// One thread to which all timers of the others send.
static atomic_int notifier;
static sem_t expired[kClients];

static void* notify(void* unused) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  notifier = (int)syscall(SYS_gettid);
  for (;;) {
    siginfo_t info;
    CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 3 && info.si_code == SI_TIMER);
    if (info.si_value.sival_int < 0) return unused;
    CHECK(sem_post(&expired[info.si_value.sival_int]) == 0);
  }
}

static void* client(void* argument) {
  int self = (int)(intptr_t)argument;
  timer_t timer = create_timer(notifier, SIGRTMIN + 3, self);
  for (int i = 0; i < 10; ++i) {
    arm(timer, 1 + self % 7, 0);
    CHECK(sem_wait(&expired[self]) == 0);
  }
  CHECK(timer_delete(timer) == 0);
  return NULL;
}

static void* end_with_timer(void* unused) {
  arm(create_timer(gettid(), SIGRTMIN + 1, 1), 10, 10);
  return unused;
}

static void* use_number(void* unused) {
  expects_signals = 1;
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_notify_thread_id = gettid();
  event.sigev_signo = SIGRTMIN + 1;
  event.sigev_value.sival_int = 11;
  int timer = -1;
  CHECK(syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer) == 0 && timer >= 0);
  struct itimerspec times = {{0, 0}, milliseconds(5)};
  CHECK(syscall(SYS_timer_settime, timer, 0, &times, NULL) == 0);
  while (handled == 0) nanosleep(&(struct timespec){1, 0}, NULL);
  CHECK(last_value == 11 && syscall(SYS_timer_getoverrun, timer) == 0);
  CHECK(syscall(SYS_timer_delete, timer) == 0);
  return unused;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  CHECK(sigaction(SIGRTMIN + 1, &action, NULL) == 0);

  pthread_t threads[kClients];
  for (int i = 0; i < kClients; ++i) threads[i] = start_thread(sleep_until_signal, number_pointer(i + 1));
  for (int i = 0; i < kClients; ++i) join_thread(threads[i]);
  SAY("sleepers: %d handlers in other threads", handled_elsewhere);

  for (int i = 0; i < 3; ++i) threads[i] = start_thread(compute_until_signal, NULL);
  for (int i = 0; i < 3; ++i) join_thread(threads[i]);
  SAY("in a loop: %d handlers in other threads", handled_elsewhere);

  join_thread(start_thread(count_overruns, NULL));
  join_thread(start_thread(use_number, NULL));
  SAY("overruns, by number");

  pthread_t notified = start_thread(notify, NULL);
  while (notifier == 0) nap(1);
  for (int i = 0; i < kClients; ++i) {
    CHECK(sem_init(&expired[i], 0, 0) == 0);
    threads[i] = start_thread(client, number_pointer(i));
  }
  for (int i = 0; i < kClients; ++i) join_thread(threads[i]);
  arm(create_timer(notifier, SIGRTMIN + 3, -1), 1, 0);
  join_thread(notified);
  SAY("one thread for all");

  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_notify_thread_id = 1;  // another process's
  event.sigev_signo = SIGRTMIN + 1;
  timer_t timer;
  CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
  join_thread(start_thread(end_with_timer, NULL));
  nap(50);

  expects_signals = 1;
  timer = create_timer(gettid(), SIGRTMIN + 1, 3);
  arm(timer, 5, 0);
  while (handled == 0) nanosleep(&(struct timespec){1, 0}, NULL);
  SAY("main: %d, elsewhere %d", last_value, handled_elsewhere);
  return 0;
}
