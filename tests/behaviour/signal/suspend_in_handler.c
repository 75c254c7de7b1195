// sigsuspend(2) in a handler, the way in which garbage collectors stop threads: the signal that ends it is
// blocked by the thread's own mask, and is sent before the handler waits, while it waits, and to a thread
// that is parked.
#include "check.h"

#include <semaphore.h>
#include <signal.h>

enum { threads = 20, rounds = 20 };

static sem_t stopped, resumed;
static int finish;

static void resume(int signal) {
  (void)signal;
}

static void stop(int signal) {
  (void)signal;
  int saved = errno;
  sigset_t all_but_resume;
  sigfillset(&all_but_resume);
  sigdelset(&all_but_resume, SIGUSR2);
  CHECK(sem_post(&stopped) == 0);
  CHECK(sigsuspend(&all_but_resume) == -1 && errno == EINTR);
  CHECK(sem_post(&resumed) == 0);
  errno = saved;
}

static void* work(void* argument) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  CHECK(pthread_sigmask(SIG_BLOCK, &blocked, NULL) == 0);
  while (!__atomic_load_n(&finish, __ATOMIC_ACQUIRE)) nap((intptr_t)argument % 3);
  return NULL;
}

static void wait_for_all(sem_t* semaphore) {
  for (int i = 0; i < threads; ++i) {
    while (sem_wait(semaphore) != 0) CHECK(errno == EINTR);
  }
}

int main(void) {
  CHECK(sem_init(&stopped, 0, 0) == 0 && sem_init(&resumed, 0, 0) == 0);
  struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  action.sa_handler = resume;
  CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(work, number_pointer(i));
  nap(20);
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < threads; ++i) CHECK(pthread_kill(thread[i], SIGUSR1) == 0);
    wait_for_all(&stopped);
    if (round % 2 == 0) nap(2);
    for (int i = 0; i < threads; ++i) CHECK(pthread_kill(thread[i], SIGUSR2) == 0);
    wait_for_all(&resumed);
  }
  __atomic_store_n(&finish, 1, __ATOMIC_RELEASE);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d threads stopped and resumed %d times", threads, rounds);
  return 0;
}
