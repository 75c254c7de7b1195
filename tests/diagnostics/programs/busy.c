// Threads that never stand still: locks, conditions, pipes, creation and end. "ready", and a line on stdin
// ends it.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAIRS = 4 };

static atomic_int over;
static pthread_mutex_t locks[4] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                   PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

// Always in rising order.
static void* lock_and_unlock(void* unused) {
  for (unsigned i = 0; !over; ++i) {
    pthread_mutex_lock(&locks[i % 3]);
    pthread_mutex_lock(&locks[3]);
    usleep(i % 2);
    pthread_mutex_unlock(&locks[3]);
    pthread_mutex_unlock(&locks[i % 3]);
  }
  return unused;
}

static void* write_all(void* pipe_ends) {
  char byte = 0;
  while (!over && write(((int*)pipe_ends)[1], &byte, 1) == 1) {
  }
  close(((int*)pipe_ends)[1]);
  return NULL;
}
static void* read_all(void* pipe_ends) {
  char byte;
  while (read(((int*)pipe_ends)[0], &byte, 1) == 1) {
  }
  return NULL;
}

static void* nothing(void* unused) {
  return unused;
}
static void* create_and_join(void* unused) {
  while (!over) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0) abort();
    pthread_join(thread, NULL);
  }
  return unused;
}

int main(void) {
  static int ends[PAIRS][2];
  pthread_t threads[PAIRS * 4];
  int count = 0;
  for (int i = 0; i < PAIRS; ++i) {
    if (pipe(ends[i]) != 0) abort();
    pthread_create(&threads[count++], NULL, write_all, ends[i]);
    pthread_create(&threads[count++], NULL, read_all, ends[i]);
    pthread_create(&threads[count++], NULL, lock_and_unlock, NULL);
    pthread_create(&threads[count++], NULL, create_and_join, NULL);
  }
  puts("ready");
  fflush(stdout);
  getchar();
  over = 1;
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  return 0;
}
