// stacks overflow      a thread named "deep" recurses without end
// stacks null          a thread reads through a null pointer
// stacks deep THREADS  threads that use a mebibyte of stack and then wait; "ready" when they do, and a line
// on stdin
//                      ends it
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile long no_end = -1;
static int* volatile nothing;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int deep, over;

__attribute__((noinline)) static long recurse(long depth) {
  volatile char frame[256];
  frame[depth % 256] = (char)depth;
  long below = depth == no_end ? 0 : recurse(depth + 1);
  return below + frame[0];
}

static void* dive(void* unused) {
  pthread_setname_np(pthread_self(), "deep");
  return recurse(1) == 0 ? unused : NULL;
}

static void* read_nothing(void* unused) {
  return *nothing == 1 ? unused : NULL;
}

__attribute__((noinline)) static void use_a_mebibyte(void) {
  volatile char used[1 << 20];
  for (size_t i = 0; i < sizeof(used); i += 4096) used[i] = 1;
}

static void* use_and_wait(void* unused) {
  use_a_mebibyte();
  pthread_mutex_lock(&mutex);
  ++deep;
  pthread_cond_broadcast(&condition);
  while (!over) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

static void start(pthread_t* thread, void* (*routine)(void*)) {
  if (pthread_create(thread, NULL, routine, NULL) != 0) abort();
}

static void wait_deep(int count) {
  pthread_t* threads = calloc((size_t)count, sizeof(*threads));
  for (int i = 0; i < count; ++i) start(&threads[i], use_and_wait);
  pthread_mutex_lock(&mutex);
  while (deep < count) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  puts("ready");
  fflush(stdout);
  getchar();
  pthread_mutex_lock(&mutex);
  over = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
}

int main(int count, char** arguments) {
  pthread_t thread;
  if (count == 3 && strcmp(arguments[1], "deep") == 0) {
    wait_deep(atoi(arguments[2]));
    return 0;
  }
  start(&thread, strcmp(arguments[1], "null") == 0 ? read_nothing : dive);
  pthread_join(thread, NULL);
  return 1;
}
