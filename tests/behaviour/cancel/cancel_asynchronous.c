// Asynchronous cancellation (pthread_setcanceltype(3)) ends a thread wherever it is: asleep, in a mutex that
// is never released, in a semaphore, in pthread_once's routine, in a CPU loop, or about to run.
#include "check.h"

#include <sched.h>
#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sem_t never, begun;
static volatile unsigned long counter;
static int cleaned;

static void clean(void* argument) {
  (void)argument;
  // A lock of its own: the wait that was left behind must not stand in its way.
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  CHECK(pthread_mutex_lock(&own) == 0 && pthread_mutex_unlock(&own) == 0);
  nap(1);
  ++cleaned;
}

static void begin(void) {
  int before;
  CHECK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before) == 0);
  CHECK(sem_post(&begun) == 0);
}

#define THREAD(name, body)             \
  static void* name(void* argument) {  \
    pthread_cleanup_push(clean, NULL); \
    begin();                           \
    body;                              \
    pthread_cleanup_pop(0);            \
    return argument;                   \
  }

static void sleep_long(void) {
  sleep(1000);
}
static pthread_once_t once = PTHREAD_ONCE_INIT;

THREAD(sleeps, sleep(1000))
THREAD(locks, pthread_mutex_lock(&mutex))
THREAD(waits, sem_wait(&never))
THREAD(initialises, pthread_once(&once, sleep_long))
THREAD(computes, for (;;)++ counter)
THREAD(yields, for (;;) sched_yield())
THREAD(tries, for (;;) pthread_mutex_trylock(&mutex))

int main(void) {
  static const struct {
    const char* name;
    void* (*routine)(void*);
  } cases[] = {{"asleep", sleeps},        {"in a mutex", locks},
               {"in a semaphore", waits}, {"in pthread_once", initialises},
               {"computing", computes},   {"yielding", yields},
               {"in quick calls", tries}};
  CHECK(sem_init(&never, 0, 0) == 0 && sem_init(&begun, 0, 0) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  for (int delay = 20; delay >= 0; delay -= 20) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
      cleaned = 0;
      pthread_t thread = start_thread(cases[i].routine, NULL);
      while (sem_wait(&begun) == -1) CHECK(errno == EINTR);
      if (delay > 0) nap(delay);
      CHECK(pthread_cancel(thread) == 0);
      CHECK(join_thread(thread) == PTHREAD_CANCELED && cleaned == 1);
      SAY("%s", cases[i].name);
    }
  }
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return 0;
}
