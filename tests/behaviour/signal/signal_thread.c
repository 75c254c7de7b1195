// The usual signal thread: all block the signals, one thread takes them with sigwait(3), sigwaitinfo(2) and
// sigtimedwait(2); masks are inherited from the creator and each thread's own.
#include "check.h"

#include <signal.h>

static sigset_t handled;

static void check_mask(int number, int blocked) {
  sigset_t mask;
  CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
  CHECK(sigismember(&mask, number) == blocked);
}

static void* keep_own_mask(void* argument) {
  sigset_t own;
  check_mask(SIGUSR1, 1);
  check_mask(SIGHUP, 1);
  check_mask(SIGINT, 0);
  sigemptyset(&own);
  sigaddset(&own, SIGINT);
  CHECK(pthread_sigmask(SIG_BLOCK, &own, NULL) == 0);
  for (int i = 0; i < 5; ++i) {
    nap(2);
    check_mask(SIGINT, 1);
    check_mask(SIGHUP, 1);
    check_mask(SIGALRM, 0);
  }
  return argument;
}

static void* take_signals(void* argument) {
  int number;
  siginfo_t information;
  struct timespec time = milliseconds(20), minute = {60, 0};
  CHECK_ERRNO(sigtimedwait(&handled, &information, &time), EAGAIN);
  pthread_barrier_wait((pthread_barrier_t*)argument);
  CHECK(sigwait(&handled, &number) == 0 && number == SIGUSR1);
  SAY("sigwait: SIGUSR1");
  pthread_barrier_wait((pthread_barrier_t*)argument);
  CHECK(sigwaitinfo(&handled, &information) == SIGHUP && information.si_pid == getpid());
  SAY("sigwaitinfo: SIGHUP");
  pthread_barrier_wait((pthread_barrier_t*)argument);
  CHECK(sigtimedwait(&handled, &information, &minute) == SIGUSR1);
  SAY("sigtimedwait: SIGUSR1");
  return NULL;
}

int main(void) {
  pthread_barrier_t step;
  pthread_t thread[10];
  sigemptyset(&handled);
  sigaddset(&handled, SIGUSR1);
  sigaddset(&handled, SIGHUP);
  CHECK(pthread_sigmask(SIG_BLOCK, &handled, NULL) == 0);
  CHECK(pthread_barrier_init(&step, NULL, 2) == 0);
  pthread_t taker = start_thread(take_signals, &step);
  for (int i = 0; i < 10; ++i) thread[i] = start_thread(keep_own_mask, NULL);
  const int sent[3] = {SIGUSR1, SIGHUP, SIGUSR1};
  for (int i = 0; i < 3; ++i) {
    pthread_barrier_wait(&step);
    if (i > 0) nap(10);
    CHECK(kill(getpid(), sent[i]) == 0);
  }
  join_thread(taker);
  for (int i = 0; i < 10; ++i) join_thread(thread[i]);
  check_mask(SIGINT, 0);
  return 0;
}
