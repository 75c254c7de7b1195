// Two threads that each hold what the other waits for, one that waits behind them, and main that takes a lock
// which it holds already. "ready" when all of them wait.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t read_write = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t third = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;

__attribute__((noinline)) static void* take_first_then_second(void* unused) {
  pthread_setname_np(pthread_self(), "alice");
  pthread_mutex_lock(&first);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&second);
  abort();
  return unused;
}

__attribute__((noinline)) static void* take_second_then_first(void* unused) {
  pthread_setname_np(pthread_self(), "bob");
  pthread_mutex_lock(&second);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&first);
  abort();
  return unused;
}

static void* wait_behind(void* unused) {
  pthread_setname_np(pthread_self(), "behind");
  pthread_mutex_lock(&first);
  abort();
  return unused;
}

// With main, in a cycle of an rwlock and a mutex.
static void* wait_for_main(void* unused) {
  pthread_setname_np(pthread_self(), "carol");
  pthread_rwlock_wrlock(&read_write);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&third);
  abort();
  return unused;
}

static void* tell(void* unused) {
  usleep(200000);
  puts("ready");
  fflush(stdout);
  getchar();
  _exit(0);
  return unused;
}

int main(void) {
  pthread_t threads[5];
  pthread_barrier_init(&both, NULL, 2);
  pthread_create(&threads[0], NULL, take_first_then_second, NULL);
  pthread_create(&threads[1], NULL, take_second_then_first, NULL);
  usleep(100000);
  pthread_create(&threads[2], NULL, wait_behind, NULL);
  pthread_mutex_lock(&third);
  pthread_create(&threads[3], NULL, wait_for_main, NULL);
  pthread_barrier_wait(&both);
  pthread_create(&threads[4], NULL, tell, NULL);
  pthread_rwlock_rdlock(&read_write);
  abort();
}
