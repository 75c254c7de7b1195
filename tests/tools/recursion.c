// Six threads, each four calls deep, with variables on the stack that only it has. They sleep.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct Item {
  int number;
  char words[16];
};

__attribute__((noinline)) static int deep(int level, int thread) {
  struct Item mine;
  volatile int canary = 0x12345 + level;
  mine.number = level * 100 + thread;
  strcpy(mine.words, "on the stack");
  if (level == 0) {
    sleep(1000);
  } else {
    deep(level - 1, thread);
  }
  return mine.number + canary;
}

static void* run_deep(void* number) {
  return (void*)(intptr_t)deep(3, (int)(intptr_t)number);
}

int main(void) {
  pthread_t threads[6];
  for (int i = 0; i < 6; ++i) pthread_create(&threads[i], NULL, run_deep, (void*)(intptr_t)(i + 1));
  puts("started");
  fflush(stdout);
  for (int i = 0; i < 6; ++i) pthread_join(threads[i], NULL);
  return 0;
}
