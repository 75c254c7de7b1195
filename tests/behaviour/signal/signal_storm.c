// Two threads send one signal each to a third that computes; each sends the next when the handler has run.
// None is lost (pthread_kill(3)), wherever it arrives.
#include "check.h"

#include <semaphore.h>
#include <signal.h>

enum { kSignals = 2000 };

static sem_t handled[2], ready;
static int stop;

static void handle(int number) {
  CHECK(sem_post(&handled[number == SIGUSR2]) == 0);
}

static void* compute(void* argument) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(sem_post(&ready) == 0);
  while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return argument;
}

static pthread_t target;

static void* send_many(void* argument) {
  int second = argument != NULL;
  for (int i = 0; i < kSignals; ++i) {
    CHECK(pthread_kill(target, second ? SIGUSR2 : SIGUSR1) == 0);
    CHECK(sem_wait(&handled[second]) == 0);
  }
  return argument;
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGUSR2, &action, NULL) == 0);
  CHECK(sem_init(&handled[0], 0, 0) == 0 && sem_init(&handled[1], 0, 0) == 0 && sem_init(&ready, 0, 0) == 0);
  target = start_thread(compute, NULL);
  CHECK(sem_wait(&ready) == 0);
  pthread_t senders[2] = {start_thread(send_many, NULL), start_thread(send_many, number_pointer(1))};
  join_thread(senders[0]);
  join_thread(senders[1]);
  __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
  join_thread(target);
  SAY("%d signals handled", 2 * kSignals);
  return 0;
}
