/* What a switch costs at a given depth of stack. Usage:
 *   stack_switch yield BYTES COUNT   two threads with BYTES of local data each yield to each other COUNT
 * times in all stack_switch copy BYTES COUNT    copies BYTES out of a buffer and other BYTES into it, COUNT
 * times stack_switch sleep BYTES         one thread with BYTES of local data sleeps, for a dump of it Prints
 * nanoseconds of CPU time for each switch that happened, or for each pair of copies. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static size_t bytes;
static long count;
static long holder = -1, changes;
static pthread_barrier_t start;

static double cpu_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* In a frame of its own below the caller's data. */
__attribute__((noinline)) static void yield_in_turn(long me, volatile char* data) {
  pthread_barrier_wait(&start);
  for (long i = 0; i < count / 2; ++i) {
    if (holder != me) {
      holder = me;
      ++changes;
    }
    data[0]++;
    sched_yield();
  }
}

static void* hold_and_yield(void* me) {
  char data[bytes];
  memset(data, 1, bytes);
  yield_in_turn((long)me, data);
  return NULL;
}

static void* hold_and_sleep(void* argument) {
  char data[bytes];
  memset(data, 1, bytes);
  printf("ready\n");
  fflush(stdout);
  sleep(60);
  return data[0] == 1 ? argument : NULL;
}

static double yield_cost(void) {
  pthread_t threads[2];
  pthread_barrier_init(&start, NULL, 2);
  for (long i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, hold_and_yield, (void*)i);
  double began = cpu_nanoseconds();
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  return (cpu_nanoseconds() - began) / (double)changes;
}

static double copy_cost(void) {
  char *stack = calloc(1, bytes), *saved[2] = {calloc(1, bytes), calloc(1, bytes)};
  double began = cpu_nanoseconds();
  for (long i = 0; i < count; ++i) {
    memcpy(saved[i & 1], stack, bytes);
    __asm__ volatile("" ::: "memory");
    memcpy(stack, saved[!(i & 1)], bytes);
    __asm__ volatile("" ::: "memory");
  }
  return (cpu_nanoseconds() - began) / (double)count;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  bytes = strtoul(argv[2], NULL, 10);
  count = argc > 3 ? atol(argv[3]) : 0;
  if (bytes == 0) return 2;
  if (strcmp(argv[1], "sleep") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, hold_and_sleep, NULL);
    pthread_join(thread, NULL);
    return 0;
  }
  if (count < 2) return 2;
  printf("%.2f\n", strcmp(argv[1], "yield") == 0 ? yield_cost() : copy_cost());
  return 0;
}
