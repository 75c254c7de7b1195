// A library that starts threads in its constructor, as those of some pools do, and has a connect(2) and a
// usleep(3) of its own, as proxychains and libfaketime have.
#define _GNU_SOURCE
#include "other_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t threads[kEarlyThreads];
static int started, ended;
static atomic_int connects, sleeps;

static void* early_thread(void* unused) {
  pthread_mutex_lock(&mutex);
  ++started;
  pthread_cond_broadcast(&changed);
  while (!ended) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

__attribute__((constructor)) static void start_early(void) {
  for (int i = 0; i < kEarlyThreads; ++i) {
    if (pthread_create(&threads[i], NULL, early_thread, NULL) != 0) abort();
  }
  pthread_mutex_lock(&mutex);
  while (started < kEarlyThreads) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

void end_early_threads(void) {
  pthread_mutex_lock(&mutex);
  ended = 1;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < kEarlyThreads; ++i) pthread_join(threads[i], NULL);
}

int connects_seen(void) {
  return connects;
}
int sleeps_seen(void) {
  return sleeps;
}

int connect(int fd, const struct sockaddr* address, socklen_t length) {
  int (*next)(int, const struct sockaddr*, socklen_t);
  *(void**)&next = dlsym(RTLD_NEXT, "connect");
  ++connects;
  return next(fd, address, length);
}

int usleep(useconds_t microseconds) {
  int (*next)(useconds_t);
  *(void**)&next = dlsym(RTLD_NEXT, "usleep");
  ++sleeps;
  return next(microseconds);
}
