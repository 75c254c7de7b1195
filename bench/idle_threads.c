/* N threads, alive and blocked: in read() on a socket pair each, asleep, or on a condition; "mixed": as many
 * in read as descriptors allow (an eventfd each), of the others half asleep and half on a condition. Usage:
 * idle_threads N read|sleep|condition|mixed Says "ready" (the descriptors exist, no thread does), waits for a
 * line, says "idle" (all threads are blocked), waits for a line, ends: so the caller can look at the
 * difference. "mixed" first says how many threads are in read, and at the end wakes those that can be woken,
 * joins them and says "joined". */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static atomic_int started;
static int released;

static void* reader(void* fd) {
  uint64_t data;
  ++started;
  return read((int)(long)fd, &data, sizeof(data)) > 0 ? fd : NULL;
}

static void* sleeper(void* unused) {
  ++started;
  sleep(100000);
  return unused;
}

static void* waiter(void* unused) {
  pthread_mutex_lock(&mutex);
  ++started;
  while (!released) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

static const struct {
  const char* name;
  void* (*routine)(void*);
} kinds[] = {{"read", reader}, {"sleep", sleeper}, {"condition", waiter}, {"mixed", NULL}};

static void fail(const char* what, int error) {
  fprintf(stderr, "idle_threads: %s: %s\n", what, strerror(error));
  exit(1);
}

static void say_and_wait(const char* word) {
  printf("%s\n", word);
  fflush(stdout);
  (void)!getchar();
}

/* To what the system allows a privileged process, else to the hard limit. */
static void raise_descriptor_limit(void) {
  struct rlimit limit = {1 << 20, 1 << 20};
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
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

/* Threads that ran at their creation have gone on to their blocking call by then. */
static void wait_until_idle(int count) {
  while (started < count) usleep(1000);
  usleep(300000);
}

static pthread_t create(void* (*routine)(void*), long argument) {
  pthread_t thread;
  int error = pthread_create(&thread, NULL, routine, (void*)argument);
  if (error != 0) fail("pthread_create", error);
  return thread;
}

static int alike(int count, void* (*routine)(void*)) {
  long* arguments = calloc((size_t)count, sizeof(long));
  for (int i = 0; i < count; ++i) arguments[i] = routine == reader ? silent_socket() : 0;
  say_and_wait("ready");
  for (int i = 0; i < count; ++i) create(routine, arguments[i]);
  wait_until_idle(count);
  say_and_wait("idle");
  return 0; /* the threads never end */
}

static void release_and_join(const pthread_t* threads, int count, const int* descriptors, int readers) {
  const uint64_t one = 1;
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < readers; ++i)
    if (write(descriptors[i], &one, sizeof(one)) != sizeof(one)) fail("write", EIO);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
}

static int mixed(int count) {
  enum { spare_descriptors = 64 };
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  int readers = count / 3 < (int)limit.rlim_cur - spare_descriptors ? count / 3
                                                                    : (int)limit.rlim_cur - spare_descriptors;
  int waiters = (count - readers) / 2, sleepers = count - readers - waiters;
  pthread_t* threads = calloc((size_t)count, sizeof(pthread_t));
  int* descriptors = calloc((size_t)readers, sizeof(int));
  for (int i = 0; i < readers; ++i)
    if ((descriptors[i] = eventfd(0, 0)) < 0) fail("eventfd", errno);
  printf("%d\n", readers);
  say_and_wait("ready");
  for (int i = 0; i < readers; ++i) threads[i] = create(reader, descriptors[i]);
  for (int i = 0; i < waiters; ++i) threads[readers + i] = create(waiter, 0);
  for (int i = 0; i < sleepers; ++i) create(sleeper, 0);
  wait_until_idle(count);
  say_and_wait("idle");
  release_and_join(threads, readers + waiters, descriptors, readers);
  say_and_wait("joined");
  return 0;
}

int main(int argc, char** argv) {
  int count = argc == 3 ? atoi(argv[1]) : 0;
  const size_t most = sizeof(kinds) / sizeof(kinds[0]);
  size_t kind = 0;
  while (argc == 3 && kind < most && strcmp(argv[2], kinds[kind].name) != 0) ++kind;
  if (count < 1 || kind == most) {
    fprintf(stderr, "usage: idle_threads N read|sleep|condition|mixed\n");
    return 2;
  }
  raise_descriptor_limit();
  _exit(kinds[kind].routine != NULL ? alike(count, kinds[kind].routine) : mixed(count));
}
