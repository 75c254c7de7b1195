// pthread_cond_signal(3p) unblocks at least one waiter, each signal lets one token through here; the mutex is
// held again on return.
#include "check.h"

enum { threads = 50 };

static pthread_mutex_t mutex;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int tokens, taken, waiting;

static void* take_token(void* argument) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  ++waiting;
  while (tokens == 0) {
    CHECK(pthread_cond_wait(&condition, &mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == EDEADLK && "held again");
  }
  --tokens;
  ++taken;
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

static int locked_read(int* value) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  int found = *value;
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return found;
}

int main(void) {
  pthread_mutexattr_t attributes;
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) == 0);
  CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
  CHECK(pthread_cond_signal(&condition) == 0);  // nobody waits: without effect
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(take_token, NULL);
  while (locked_read(&waiting) < threads) nap(1);
  for (int i = 1; i <= threads; ++i) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    ++tokens;
    CHECK(pthread_cond_signal(&condition) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    while (locked_read(&taken) < i) nap(1);
    CHECK(locked_read(&taken) == i);
  }
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(pthread_cond_destroy(&condition) == 0);
  SAY("%d tokens taken one by one", taken);
  return 0;
}
