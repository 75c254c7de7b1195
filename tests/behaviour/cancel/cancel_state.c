// pthread_setcancelstate(3): disabled, a cancellation waits until it is enabled again and a cancellation
// point is reached; what is no cancellation point (mutex lock) does not end the thread; pthread_testcancel
// does.
#include "check.h"

static pthread_barrier_t step;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int reached;

static void* disabled(void* argument) {
  int old;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old) == 0 && old == PTHREAD_CANCEL_ENABLE);
  pthread_barrier_wait(&step);
  pthread_barrier_wait(&step);  // cancelled by now
  nap(5);
  pthread_testcancel();
  reached = 1;
  CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old) == 0 && old == PTHREAD_CANCEL_DISABLE);
  reached = 2;
  pthread_testcancel();
  reached = 3;
  return argument;
}

static void* no_cancellation_point(void* argument) {
  pthread_barrier_wait(&step);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  reached = 1;
  nap(1000);
  reached = 2;
  return argument;
}

static void* compute_and_test(void* argument) {
  pthread_barrier_wait(&step);
  for (;;) pthread_testcancel();
  return argument;
}

int main(void) {
  CHECK(pthread_barrier_init(&step, NULL, 2) == 0);
  pthread_t thread = start_thread(disabled, NULL);
  pthread_barrier_wait(&step);
  CHECK(pthread_cancel(thread) == 0);
  pthread_barrier_wait(&step);
  CHECK(join_thread(thread) == PTHREAD_CANCELED && reached == 2);
  SAY("disabled, then tested");
  CHECK(pthread_mutex_lock(&mutex) == 0);
  thread = start_thread(no_cancellation_point, NULL);
  pthread_barrier_wait(&step);
  nap(10);
  CHECK(pthread_cancel(thread) == 0);
  nap(10);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  CHECK(join_thread(thread) == PTHREAD_CANCELED && reached == 1);
  SAY("not in a mutex");
  thread = start_thread(compute_and_test, NULL);
  pthread_barrier_wait(&step);
  CHECK(pthread_cancel(thread) == 0);
  CHECK(join_thread(thread) == PTHREAD_CANCELED);
  SAY("in a loop");
  return 0;
}
