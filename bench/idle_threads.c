/* N threads, alive and blocked in read() on a socket pair each, or asleep, or on a condition. Says "idle",
 * then waits for a line. Usage: idle_threads N read|sleep|condition */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int started;

static void begin(void) {
  __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
}

static void* reader(void* fd) {
  char byte;
  begin();
  return read((int)(long)fd, &byte, 1) == 1 ? fd : NULL;
}
static void* sleeper(void* unused) {
  begin();
  sleep(100000);
  return unused;
}
static void* waiter(void* unused) {
  pthread_mutex_lock(&mutex);
  begin();
  for (;;) pthread_cond_wait(&condition, &mutex);
  return unused;
}

int main(int argc, char** argv) {
  int count = argc == 3 ? atoi(argv[1]) : 0;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (count == 0) return 2;
  int reads = strcmp(argv[2], "read") == 0;
  void* (*routine)(void*) = reads ? reader : strcmp(argv[2], "sleep") == 0 ? sleeper : waiter;
  int* pairs = calloc((size_t)count * 2, sizeof(int));
  for (int i = 0; reads && i < count; ++i) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, &pairs[i * 2]) != 0) return 1;
  }
  printf("ready\n"); /* the descriptors are there, the threads are not */
  fflush(stdout);
  (void)!getchar();
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, routine, (void*)(long)pairs[i * 2]);
    if (error != 0) {
      fprintf(stderr, "idle_threads: %s at thread %d\n", strerror(error), i);
      return 1;
    }
  }
  while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < count) usleep(1000);
  usleep(300000);
  printf("idle\n");
  fflush(stdout);
  (void)!getchar();
  _exit(0);
}
