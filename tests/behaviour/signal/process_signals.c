// kill(2) to the own process while threads run, sleep and wait: the handler runs once a signal, sem_post in
// it wakes a waiting thread, and SA_RESTART makes blocked calls go on.
#include "check.h"

#include <semaphore.h>
#include <signal.h>

enum { signals = 50, sleepers = 20 };

static sem_t received;
static volatile sig_atomic_t handled;

static void handle(int number) {
  CHECK(number == SIGUSR1);
  int kept = errno;
  ++handled;
  CHECK(sem_post(&received) == 0);
  errno = kept;
}

static void* read_pipe(void* argument) {
  char byte;
  CHECK(read(*(int*)argument, &byte, 1) == 1 && byte == 'x' && "restarted, not interrupted");
  return NULL;
}

static void* count_received(void* argument) {
  for (int i = 0; i < signals; ++i) {
    while (sem_wait(&received) == -1) CHECK(errno == EINTR);
    CHECK(sem_post((sem_t*)argument) == 0);
  }
  return NULL;
}

int main(void) {
  struct sigaction action;
  pthread_t sleeper[sleepers];
  sem_t counted;
  int ends[2];
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  CHECK(sem_init(&received, 0, 0) == 0 && sem_init(&counted, 0, 0) == 0 && pipe(ends) == 0);
  for (int i = 0; i < sleepers; ++i) sleeper[i] = start_thread(read_pipe, &ends[0]);
  pthread_t counter = start_thread(count_received, &counted);
  for (int i = 0; i < signals; ++i) {
    CHECK(kill(getpid(), SIGUSR1) == 0);
    while (sem_wait(&counted) == -1) CHECK(errno == EINTR);
  }
  join_thread(counter);
  for (int i = 0; i < sleepers; ++i) CHECK(write(ends[1], "x", 1) == 1);
  for (int i = 0; i < sleepers; ++i) join_thread(sleeper[i]);
  SAY("%d signals handled", (int)handled);
  return 0;
}
