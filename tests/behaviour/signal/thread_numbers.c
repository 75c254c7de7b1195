// The kernel takes the number of any thread for its process (kill(2)), and for nobody's in another process
// (tgkill(2)).
#include "check.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile pid_t number;
static volatile sig_atomic_t handled;
static sem_t named, end;

static void count(int unused) {
  (void)unused;
  ++handled;
}

static void* shows_number(void* unused) {
  sigset_t all;
  sigfillset(&all);
  CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
  number = gettid();
  CHECK(sem_post(&named) == 0);
  while (sem_wait(&end) != 0) CHECK(errno == EINTR);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(gettid() == getpid() && gettid() != number);
    CHECK_ERRNO(tgkill(getpid(), number, SIGTERM), ESRCH);
    CHECK_ERRNO(tgkill(getppid(), gettid(), SIGTERM), ESRCH);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  return unused;
}

int main(void) {
  CHECK(signal(SIGUSR1, count) != SIG_ERR);
  CHECK(sem_init(&named, 0, 0) == 0 && sem_init(&end, 0, 0) == 0);
  pthread_t thread = start_thread(shows_number, NULL);
  CHECK(sem_wait(&named) == 0);
  // That thread blocks it: main takes it.
  CHECK(kill(number, SIGUSR1) == 0 && handled == 1);
  CHECK(syscall(SYS_kill, number, SIGUSR1) == 0 && handled == 2);
  CHECK(sigqueue(number, SIGUSR1, (union sigval){.sival_int = 1}) == 0 && handled == 3);
  CHECK(kill(number, 0) == 0 && tgkill(getpid(), number, 0) == 0);
  CHECK(sem_post(&end) == 0);
  join_thread(thread);
  for (int i = 0; i < 1000 && kill(number, 0) == 0; ++i) nap(1);
  CHECK_ERRNO(kill(number, 0), ESRCH);
  SAY("numbers");
  return 0;
}
