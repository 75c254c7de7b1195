// main is a thread like any other: cancelled where it waits, it runs its cleanup handlers, and the process
// goes on until its last thread ends.
#include "check.h"

#include <semaphore.h>
#include <sys/wait.h>

static pthread_t main_thread;
static volatile int cleaned;

static void clean(void* name) {
  SAY("main cancelled in %s", (const char*)name);
  cleaned = 1;
}

static void* cancel_main(void* argument) {
  nap(30);
  CHECK(pthread_cancel(main_thread) == 0);
  while (!cleaned) nap(1);
  nap(30);
  SAY("the other thread ends");
  return argument;
}

static void wait_in(int place, pthread_t other) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  sem_t never;
  switch (place) {
    case 0:
      pthread_join(other, NULL);
      break;
    case 1:
      CHECK(pthread_mutex_lock(&mutex) == 0);
      for (;;) pthread_cond_wait(&condition, &mutex);
    case 2:
      CHECK(sem_init(&never, 0, 0) == 0);
      sem_wait(&never);
      break;
    default:
      sleep(1000);
  }
}

// In the child.
static void be_cancelled(int place, char* name) {
  main_thread = pthread_self();
  pthread_t other = start_thread(cancel_main, NULL);
  pthread_cleanup_push(clean, name);
  wait_in(place, other);
  pthread_cleanup_pop(0);
  _exit(1);
}

int main(void) {
  static char* const places[] = {"pthread_join", "pthread_cond_wait", "sem_wait", "sleep"};
  for (int place = 0; place < 4; ++place) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) be_cancelled(place, places[place]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    SAY("status %d", WEXITSTATUS(status));
  }
  return 0;
}
