// pthread_cond_broadcast(3p) wakes 300 waiters; at once afterwards the condition may be destroyed and made
// anew.
#include "check.h"

enum { threads = 300, rounds = 3 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static pthread_cond_t condition;
static int waiting, released;

static void* wait_for_release(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  ++waiting;
  CHECK(pthread_cond_signal(&arrived) == 0);
  while (!released) CHECK(pthread_cond_wait(&condition, &mutex) == 0);
  --waiting;
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

int main(void) {
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_cond_init(&condition, NULL) == 0);
    pthread_t thread[threads];
    for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_for_release, NULL);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    while (waiting < threads) CHECK(pthread_cond_wait(&arrived, &mutex) == 0);
    released = 1;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    nap(100);  // all are alive and waiting
    CHECK(pthread_cond_broadcast(&condition) == 0);
    // POSIX: "safe to destroy an initialized condition variable upon which no threads are currently blocked";
    // those just woken no longer are.
    CHECK(pthread_cond_destroy(&condition) == 0);
    memset(&condition, 0x5a, sizeof condition);
    for (int i = 0; i < threads; ++i) join_thread(thread[i]);
    CHECK(waiting == 0);
    released = 0;
    SAY("round %d", round);
  }
  return 0;
}
