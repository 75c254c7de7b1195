// Process-shared objects in a file that two processes map, neither of which is the other's child by fork
// alone: the program executes itself, once with its environment as it is and once without (so that a library
// preloaded here is not there). Each waits for the other. Processes and threads that end with a robust mutex
// locked: EOWNERDEAD for whoever waits in the other (pthread_mutexattr_setrobust(3)).
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { kRounds = 200, kReaders = 3 };

struct Shared {
  pthread_mutex_t mutex, robust, recursive, inheriting;
  pthread_cond_t changed;
  pthread_rwlock_t rwlock;
  pthread_barrier_t barrier;
  sem_t ready, go;
  int turn;
  volatile int parking;
  long written[2];
};
static struct Shared* shared;
static char path[64];

static void create(void) {
  pthread_mutexattr_t mutex;
  pthread_condattr_t condition;
  pthread_rwlockattr_t rwlock;
  pthread_barrierattr_t barrier;
  pthread_mutexattr_init(&mutex);
  CHECK(pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_mutex_init(&shared->mutex, &mutex) == 0);
  CHECK(pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_INHERIT) == 0);
  CHECK(pthread_mutex_init(&shared->inheriting, &mutex) == 0);
  CHECK(pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_NONE) == 0);
  CHECK(pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST) == 0);
  CHECK(pthread_mutex_init(&shared->robust, &mutex) == 0);
  CHECK(pthread_mutexattr_settype(&mutex, PTHREAD_MUTEX_RECURSIVE) == 0);
  CHECK(pthread_mutex_init(&shared->recursive, &mutex) == 0);
  pthread_condattr_init(&condition);
  CHECK(pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_cond_init(&shared->changed, &condition) == 0);
  pthread_rwlockattr_init(&rwlock);
  CHECK(pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_rwlock_init(&shared->rwlock, &rwlock) == 0);
  pthread_barrierattr_init(&barrier);
  CHECK(pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED) == 0);
  CHECK(pthread_barrier_init(&shared->barrier, &barrier, 2) == 0);
  CHECK(sem_init(&shared->ready, 1, 0) == 0 && sem_init(&shared->go, 1, 0) == 0);
}

// --- What both processes do, on two threads each ---

static void* take_turns(void* side) {
  pthread_mutex_t* mutex = &shared->robust;
  for (int i = 0; i < kRounds; ++i) {
    if (i == kRounds / 2) {  // the other half with an ordinary mutex
      pthread_barrier_wait(&shared->barrier);
      mutex = &shared->mutex;
    }
    CHECK(pthread_mutex_lock(mutex) == 0);
    while (shared->turn % 2 != (int)(intptr_t)side) CHECK(pthread_cond_wait(&shared->changed, mutex) == 0);
    ++shared->turn;
    CHECK(pthread_cond_broadcast(&shared->changed) == 0);
    CHECK(pthread_mutex_unlock(mutex) == 0);
  }
  return NULL;
}

static void* write_both(void* unused) {
  for (int i = 0; i < kRounds; ++i) {
    CHECK(pthread_rwlock_wrlock(&shared->rwlock) == 0);
    ++shared->written[0];
    if (i % 20 == 0) sched_yield();
    ++shared->written[1];
    CHECK(pthread_rwlock_unlock(&shared->rwlock) == 0);
    CHECK(pthread_rwlock_rdlock(&shared->rwlock) == 0);
    CHECK(shared->written[0] == shared->written[1]);
    CHECK(pthread_rwlock_unlock(&shared->rwlock) == 0);
    CHECK(pthread_mutex_lock(&shared->inheriting) == 0);
    if (i % 20 == 0) nap(1);
    CHECK(pthread_mutex_unlock(&shared->inheriting) == 0);
    // A recursive one that is robust: its owner is a thread, not its process.
    CHECK(pthread_mutex_lock(&shared->recursive) == 0);
    CHECK(pthread_mutex_trylock(&shared->recursive) == 0);
    CHECK(pthread_mutex_lock(&shared->recursive) == 0);
    for (int times = 0; times < 3; ++times) CHECK(pthread_mutex_unlock(&shared->recursive) == 0);
    CHECK(pthread_mutex_unlock(&shared->recursive) == EPERM);
  }
  return unused;
}

static void work_together(intptr_t side) {
  pthread_t turns = start_thread(take_turns, number_pointer(side));
  pthread_t writers[2] = {start_thread(write_both, NULL), start_thread(write_both, NULL)};
  join_thread(writers[0]);
  join_thread(writers[1]);
  join_thread(turns);
}

// --- Ends with the robust mutexes locked ---

static void* idle(void* unused) {
  for (;;) nap(1000);
  return unused;
}

static void* lock_and(void* how) {
  // In one order and then in the other: what is held is a list.
  CHECK(pthread_mutex_lock(&shared->recursive) == 0);
  CHECK(pthread_mutex_lock(&shared->robust) == 0);
  CHECK(pthread_mutex_unlock(&shared->recursive) == 0);
  CHECK(pthread_mutex_unlock(&shared->robust) == 0);
  CHECK(pthread_mutex_lock(&shared->robust) == 0);
  CHECK(pthread_mutex_lock(&shared->recursive) == 0);
  CHECK(pthread_mutex_lock(&shared->recursive) == 0);
  CHECK(sem_post(&shared->ready) == 0);
  while (sem_wait(&shared->go) != 0) CHECK(errno == EINTR);
  switch (*(const char*)how) {
    case 'k':
      kill(getpid(), SIGKILL);
      break;
    case 'e':
      exit(0);
    case 't':  // the thread alone
      pthread_exit(NULL);
    case 'p':  // while parked: another thread kills
      shared->parking = 1;
      nap(100000);
      break;
    case 'g':
      syscall(SYS_exit_group, 0);
  }
  return NULL;
}

static int other(const char* how) {
  if (strcmp(how, "work") == 0) {
    work_together(1);
    return 0;
  }
  start_thread(idle, NULL);
  pthread_t holder = start_thread(lock_and, (void*)how);
  if (*how == 'p') {
    while (!shared->parking) nap(5);
    nap(30);
    kill(getpid(), SIGKILL);
  }
  join_thread(holder);
  while (sem_wait(&shared->go) != 0) CHECK(errno == EINTR);
  return 0;
}

static char* program;
static pid_t start_other(const char* how, int bare) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child > 0) return child;
  if (bare) unsetenv("LD_PRELOAD");
  execl(program, program, how, path, (char*)NULL);
  _exit(127);
}

static void* inherit(void* unused) {
  (void)unused;
  CHECK(pthread_mutex_lock(&shared->robust) == EOWNERDEAD);
  CHECK(pthread_mutex_consistent(&shared->robust) == 0);
  CHECK(pthread_mutex_lock(&shared->recursive) == EOWNERDEAD);
  CHECK(pthread_mutex_trylock(&shared->recursive) == 0);
  CHECK(pthread_mutex_consistent(&shared->recursive) == 0);
  CHECK(pthread_mutex_unlock(&shared->recursive) == 0);
  CHECK(pthread_mutex_unlock(&shared->recursive) == 0);
  CHECK(pthread_mutex_unlock(&shared->recursive) == EPERM);
  CHECK(pthread_mutex_unlock(&shared->robust) == 0);
  return NULL;
}

static void owner_dies(const char* how, int bare) {
  pid_t child = start_other(how, bare);
  while (sem_wait(&shared->ready) != 0) CHECK(errno == EINTR);
  CHECK(pthread_mutex_trylock(&shared->robust) == EBUSY);
  pthread_t waiting = start_thread(inherit, NULL);
  nap(20);
  CHECK(sem_post(&shared->go) == 0);
  join_thread(waiting);
  CHECK(sem_post(&shared->go) == 0);
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
  sem_init(&shared->go, 1, 0);
  shared->parking = 0;
}

int main(int count, char** arguments) {
  program = arguments[0];
  snprintf(path, sizeof path, "/dev/shm/behaviour.%d", getpid());
  if (count == 3) snprintf(path, sizeof path, "%s", arguments[2]);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && ftruncate(fd, sizeof *shared) == 0);
  shared = (struct Shared*)mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(shared != MAP_FAILED);
  if (count == 3) return other(arguments[1]);

  create();
  for (int bare = 0; bare < 2; ++bare) {
    pid_t child = start_other("work", bare);
    work_together(0);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    SAY("worked together: %ld, %d turns", shared->written[0], shared->turn);
    for (const char* how = "kepgt"; *how != '\0'; ++how) {
      owner_dies(how, bare);
      SAY("inherited: %c", *how);
    }
  }
  unlink(path);
  return 0;
}
