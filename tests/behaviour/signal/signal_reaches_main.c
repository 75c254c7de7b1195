// A server's main waits in poll() for the signal that ends it, while its threads, with different masks, are
// busy: signals to the process go to main and interrupt its wait, as long as main accepts them.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "check.h"

enum { kThreads = 8, kSignals = 300 };

static pthread_t main_thread;
static atomic_int in_main, elsewhere, started, stop;

static void on_signal(int number) {
  (void)number;
  atomic_fetch_add(pthread_equal(pthread_self(), main_thread) ? &in_main : &elsewhere, 1);
}

static void* work(void* argument) {
  sigset_t set;
  sigemptyset(&set);
  if (argument != NULL) sigaddset(&set, SIGUSR2);
  CHECK(pthread_sigmask(SIG_SETMASK, &set, NULL) == 0);
  atomic_fetch_add(&started, 1);
  while (!atomic_load(&stop)) {
    struct timespec moment = {.tv_nsec = 20000};
    nanosleep(&moment, NULL);
    for (int i = 0; i < 20; ++i) sched_yield();
  }
  return NULL;
}

int main(void) {
  struct sigaction action = {.sa_handler = on_signal};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  main_thread = pthread_self();
  int acknowledged[2];
  CHECK(pipe(acknowledged) == 0);
  pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; ++i) CHECK(pthread_create(&threads[i], NULL, work, (void*)(i % 2)) == 0);
  while (atomic_load(&started) < kThreads) sched_yield();
  pid_t sender = fork();
  CHECK(sender >= 0);
  if (sender == 0) {
    close(acknowledged[1]);  // if main fails, the read ends
    for (int i = 0; i < kSignals; ++i) {
      char byte;
      if (kill(getppid(), SIGUSR1) != 0 || read(acknowledged[0], &byte, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  for (int i = 0; i < kSignals; ++i) {
    while (atomic_load(&in_main) + atomic_load(&elsewhere) <= i) poll(NULL, 0, 1);
    CHECK(atomic_load(&elsewhere) == 0);
    CHECK(atomic_load(&in_main) == i + 1);
    CHECK(write(acknowledged[1], "", 1) == 1);
  }
  int status;
  CHECK(waitpid(sender, &status, 0) == sender && status == 0);
  atomic_store(&stop, 1);
  for (int i = 0; i < kThreads; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
  return 0;
}
