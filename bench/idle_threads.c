/* N threads, alive and blocked: in read() on a socket pair each, asleep, or on a condition.
 * Usage: idle_threads N read|sleep|condition
 * Says "ready" (the descriptors exist, no thread does), waits for a line, says "idle" (all threads are
 * blocked), waits for a line, ends: so the caller can look at the difference. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static atomic_int started;

static void* reader(void* fd) {
  char byte;
  ++started;
  return read((int)(long)fd, &byte, 1) == 1 ? fd : NULL;
}

static void* sleeper(void* unused) {
  ++started;
  sleep(100000);
  return unused;
}

static void* waiter(void* unused) {
  pthread_mutex_lock(&mutex);
  ++started;
  for (;;) pthread_cond_wait(&condition, &mutex);
  return unused;
}

static const struct {
  const char* name;
  void* (*routine)(void*);
} kinds[] = {{"read", reader}, {"sleep", sleeper}, {"condition", waiter}};

static void fail(const char* what, int error) {
  fprintf(stderr, "idle_threads: %s: %s\n", what, strerror(error));
  exit(1);
}

static void say_and_wait(const char* word) {
  printf("%s\n", word);
  fflush(stdout);
  (void)!getchar();
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* One end for the thread to read from; nobody writes to the other. */
static int silent_socket(void) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
    perror("idle_threads: socketpair");
    exit(1);
  }
  return pair[0];
}

int main(int argc, char** argv) {
  int count = argc == 3 ? atoi(argv[1]) : 0;
  void* (*routine)(void*) = NULL;
  for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); ++i)
    if (strcmp(argv[2], kinds[i].name) == 0) routine = kinds[i].routine;
  if (count < 1 || routine == NULL) {
    fprintf(stderr, "usage: idle_threads N read|sleep|condition\n");
    return 2;
  }
  raise_descriptor_limit();
  long* arguments = calloc((size_t)count, sizeof(long));
  for (int i = 0; i < count; ++i) arguments[i] = routine == reader ? silent_socket() : 0;
  say_and_wait("ready");
  for (int i = 0; i < count; ++i) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, routine, (void*)arguments[i]);
    if (error != 0) fail("pthread_create", error);
  }
  while (started < count) usleep(1000);
  usleep(300000); /* from the counter to the blocking call */
  say_and_wait("idle");
  _exit(0); /* the threads never end */
}
