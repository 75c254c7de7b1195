// No starvation: while greedy threads lock and unlock without a pause, and only stop when everybody has had a
// turn, 100 modest threads, and main, each get the mutex in the end.
#include "check.h"

enum { greedy_threads = 4, modest_threads = 100 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int served;

static void* be_greedy(void* argument) {
  for (;;) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    int all_served = served == modest_threads + 1;
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    if (all_served) return argument;
  }
}

static void* be_modest(void* argument) {
  nap(100);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  ++served;
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return argument;
}

int main(void) {
  pthread_t greedy[greedy_threads], modest[modest_threads];
  for (int i = 0; i < modest_threads; ++i) modest[i] = start_thread(be_modest, NULL);
  for (int i = 0; i < greedy_threads; ++i) greedy[i] = start_thread(be_greedy, NULL);
  be_modest(NULL);
  for (int i = 0; i < modest_threads; ++i) join_thread(modest[i]);
  for (int i = 0; i < greedy_threads; ++i) join_thread(greedy[i]);
  SAY("%d served", served);
  return 0;
}
