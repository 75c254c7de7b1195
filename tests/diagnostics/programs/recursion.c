// recursion THREADS DEPTH: threads that each wait at the end of a recursion of their own depth (1 to DEPTH),
// with values on their stacks that they look at afterwards; "ready", and a line on stdin ends it.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int over;

__attribute__((noinline)) static long descend(int depth, long mark) {
  volatile long marks[32];
  for (int i = 0; i < 32; ++i) marks[i] = mark + i * depth;
  long sum = 0;
  if (depth > 1) {
    sum = descend(depth - 1, mark + 1);
  } else {
    pthread_mutex_lock(&mutex);
    while (!over) pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
  }
  for (int i = 0; i < 32; ++i) {
    if (marks[i] != mark + i * depth) abort();
  }
  return sum + 1;
}

static void* go_down(void* depth) {
  volatile long result = descend((int)(intptr_t)depth, (intptr_t)depth);  // no tail call
  return (void*)result;
}

int main(int count, char** arguments) {
  int threads = atoi(arguments[1]), depth = count > 2 ? atoi(arguments[2]) : 1;
  pthread_t* all = malloc((size_t)threads * sizeof(*all));
  for (int i = 0; i < threads; ++i) {
    if (pthread_create(&all[i], NULL, go_down, (void*)(intptr_t)(i % depth + 1)) != 0) abort();
  }
  usleep(100000);
  puts("ready");
  fflush(stdout);
  getchar();
  pthread_mutex_lock(&mutex);
  over = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < threads; ++i) {
    void* result;
    pthread_join(all[i], &result);
    if ((intptr_t)result != i % depth + 1) abort();
  }
  return 0;
}
