// PTHREAD_STACK_MIN is enough for 200 threads that sleep, lock and wait.
#include "check.h"

#include <limits.h>

enum { threads = 200 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int arrived, go;

static void* wait_for_go(void* argument) {
  nap(2);
  pthread_mutex_lock(&lock);
  ++arrived;
  pthread_cond_broadcast(&changed);
  while (!go) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  return argument;
}

int main(void) {
  pthread_attr_t attributes;
  pthread_t thread[threads];
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
  for (int i = 0; i < threads; ++i) {
    CHECK(pthread_create(&thread[i], &attributes, wait_for_go, number_pointer(i)) == 0);
  }
  pthread_mutex_lock(&lock);
  while (arrived < threads) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  nap(100);  // all are alive
  pthread_mutex_lock(&lock);
  go = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < threads; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  SAY("%d threads on the smallest stacks", threads);
  return 0;
}
