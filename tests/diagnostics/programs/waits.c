// A thread in each kind of wait, each in a function of its own; then "ready", and a line on stdin ends it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEVER_INLINE __attribute__((noinline))

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, for_condition = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read_locked = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static pthread_t sleeper;
static int listener, connected, pipe_ends[2], locked_file;
static char lock_path[] = "/tmp/waits_XXXXXX";
static volatile int here;

// Not a tail call: the frame is to be seen.
static void after(void) {
  __asm__ volatile("" ::: "memory");
}

static NEVER_INLINE void* hold_locks(void* unused) {
  pthread_setname_np(pthread_self(), "holder");
  pthread_mutex_lock(&held);
  pthread_rwlock_wrlock(&written);
  pthread_rwlock_rdlock(&read_locked);
  flock(locked_file, LOCK_EX);
  __atomic_store_n(&here, 1, __ATOMIC_SEQ_CST);
  sleep(1000);
  after();
  return unused;
}
static NEVER_INLINE void* wait_for_mutex(void* unused) {
  pthread_mutex_lock(&held);
  after();
  return unused;
}
static NEVER_INLINE void* wait_for_condition(void* unused) {
  pthread_mutex_lock(&for_condition);
  pthread_cond_wait(&condition, &for_condition);
  after();
  return unused;
}
static NEVER_INLINE void* wait_to_read_lock(void* unused) {
  pthread_rwlock_rdlock(&written);
  after();
  return unused;
}
static NEVER_INLINE void* wait_to_write_lock(void* unused) {
  pthread_rwlock_wrlock(&read_locked);
  after();
  return unused;
}
static NEVER_INLINE void* wait_at_barrier(void* unused) {
  pthread_barrier_wait(&barrier);
  after();
  return unused;
}
static NEVER_INLINE void* wait_for_semaphore(void* unused) {
  sem_wait(&semaphore);
  after();
  return unused;
}
static NEVER_INLINE void* wait_to_join(void* unused) {
  pthread_join(sleeper, NULL);
  after();
  return unused;
}
static NEVER_INLINE void* wait_for_connection(void* unused) {
  accept(listener, NULL, NULL);
  after();
  return unused;
}
static NEVER_INLINE void* wait_to_receive(void* unused) {
  char byte;
  recv(connected, &byte, 1, 0);
  after();
  return unused;
}
static NEVER_INLINE void* wait_for_pipe(void* unused) {
  char byte;
  if (read(pipe_ends[0], &byte, 1) < 0) abort();
  after();
  return unused;
}
static NEVER_INLINE void* wait_in_poll(void* unused) {
  struct pollfd entries[2] = {{connected, POLLPRI, 0}, {listener, POLLPRI, 0}};
  poll(entries, 2, 1000000);
  after();
  return unused;
}
static NEVER_INLINE void* wait_in_kernel(void* unused) {
  int fd = open(lock_path, O_RDWR);
  flock(fd, LOCK_EX);
  after();
  return unused;
}
static NEVER_INLINE void* wait_unhooked(void* unused) {
  char byte;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(0L), "D"((long)pipe_ends[0]), "S"(&byte), "d"(1L)
                   : "rcx", "r11", "memory");
  after();
  return unused;
}
static NEVER_INLINE void* compute(void* unused) {
  for (volatile unsigned long i = 0;; ++i) {
  }
  return unused;
}
static void* end(void* unused) {
  return unused;
}

static void start(void* (*routine)(void*), pthread_t* thread) {
  pthread_t ignored;
  if (pthread_create(thread != NULL ? thread : &ignored, NULL, routine, NULL) != 0) abort();
}

static void make_sockets(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof(address);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr*)&address, sizeof(address)) != 0 || listen(listener, 5) != 0) abort();
  getsockname(listener, (struct sockaddr*)&address, &length);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(client, (struct sockaddr*)&address, sizeof(address)) != 0) abort();
  connected = accept(listener, NULL, NULL);
  length = sizeof(address);
  getpeername(connected, (struct sockaddr*)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
}

int main(void) {
  make_sockets();
  locked_file = mkstemp(lock_path);
  if (pipe(pipe_ends) != 0) abort();
  pthread_barrier_init(&barrier, NULL, 2);
  sem_init(&semaphore, 0, 0);
  start(hold_locks, &sleeper);
  while (!__atomic_load_n(&here, __ATOMIC_SEQ_CST)) usleep(1000);
  void* (*routines[])(void*) = {wait_for_mutex,
                                wait_for_condition,
                                wait_to_read_lock,
                                wait_to_write_lock,
                                wait_at_barrier,
                                wait_for_semaphore,
                                wait_to_join,
                                wait_for_connection,
                                wait_to_receive,
                                wait_for_pipe,
                                wait_in_poll,
                                wait_in_kernel,
                                wait_unhooked,
                                compute,
                                end};
  for (size_t i = 0; i < sizeof(routines) / sizeof(routines[0]); ++i) start(routines[i], NULL);
  usleep(200000);
  puts("ready");
  fflush(stdout);
  getchar();
  unlink(lock_path);
  fflush(stdout);
  _exit(0);
}
