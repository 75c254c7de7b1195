// crowd N: N threads that wait in two different functions, and with a second argument eight that compute
// without end; then "ready", and a line on stdin ends it. Small stacks: there may be many.
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

__attribute__((noinline)) static void* wait_in_one(void* unused) {
  pthread_mutex_lock(&mutex);
  for (;;) pthread_cond_wait(&condition, &mutex);
  return unused;
}
__attribute__((noinline)) static void* sleep_long(void* unused) {
  for (;;) sleep(1000);
  return unused;
}
static void* compute(void* unused) {
  for (volatile unsigned long i = 0;; ++i) {
  }
  return unused;
}

static void start(void* (*routine)(void*)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 16384);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, routine, NULL) != 0) abort();
  pthread_attr_destroy(&attributes);
}

int main(int count, char** arguments) {
  int threads = atoi(arguments[1]);
  for (int i = 0; i < threads; ++i) start(i % 2 == 0 ? wait_in_one : sleep_long);
  if (count > 2) {
    for (int i = 0; i < 8; ++i) start(compute);
  }
  usleep(100000);
  puts("ready");
  fflush(stdout);
  getchar();
  return 0;
}
