// pthread_mutexattr_setpshared(3): mutex, condition, semaphore and barrier in memory shared with a child
// process, used by threads of both.
#include "check.h"

#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { threads = 4, rounds = 200 };

struct Shared {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  pthread_barrier_t start;
  sem_t finished;
  long counter;
  int turn;
};

static struct Shared* shared;

static void create(void) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t condition;
  pthread_barrierattr_t barrier;
  CHECK(pthread_mutexattr_init(&mutex) == 0);
  CHECK(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_condattr_init(&condition) == 0);
  CHECK(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_barrierattr_init(&barrier) == 0);
  CHECK(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_mutex_init(&shared->mutex, &mutex) == 0);
  CHECK(pthread_cond_init(&shared->changed, &condition) == 0);
  CHECK(pthread_barrier_init(&shared->start, &barrier, 2 * threads) == 0);
  CHECK(sem_init(&shared->finished, 1, 0) == 0);
}

static void* count(void* argument) {
  pthread_barrier_wait(&shared->start);
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    ++shared->counter;
    CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
  }
  CHECK(sem_post(&shared->finished) == 0);
  return argument;
}

// The two processes take turns.
static void* alternate(void* argument) {
  int own = (int)(intptr_t)argument;
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_mutex_lock(&shared->mutex) == 0);
    while (shared->turn % 2 != own) CHECK(pthread_cond_wait(&shared->changed, &shared->mutex) == 0);
    ++shared->turn;
    CHECK(pthread_cond_broadcast(&shared->changed) == 0);
    CHECK(pthread_mutex_unlock(&shared->mutex) == 0);
  }
  return NULL;
}

static void run_threads(int own) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(count, NULL);
  pthread_t alternating = start_thread(alternate, number_pointer(own));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  join_thread(alternating);
}

int main(void) {
  shared =
      (struct Shared*)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  create();
  pid_t child = fork();
  CHECK(child >= 0);
  run_threads(child == 0);
  if (child == 0) _exit(0);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  for (int i = 0; i < 2 * threads; ++i) CHECK(sem_wait(&shared->finished) == 0);
  SAY("counted %ld, %d turns", shared->counter, shared->turn);
  return 0;
}
