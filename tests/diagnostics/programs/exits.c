// exits WAY: three threads that block a kernel thread for 20 ms each, in a hooked call, in a system call that
// no hook sees, and by computing; then the process ends in the way that is named.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int locked;
static char path[] = "/tmp/exits_XXXXXX";

static void* lock_file(void* unused) {
  int fd = open(path, O_RDWR);
  if (flock(fd, LOCK_EX) != 0) abort();
  return unused;
}
static void* read_unhooked(void* ends) {
  char byte;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(0L), "D"((long)((int*)ends)[0]), "S"(&byte), "d"(1L)
                   : "rcx", "r11", "memory");
  return ends;
}
static void* compute(void* unused) {
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < 200000000);
  return unused;
}
static void* nothing(void* unused) {
  return unused;
}

static void* leave(void* way) {
  if (strcmp(way, "exit_in_thread") == 0) exit(0);
  if (strcmp(way, "_exit_in_thread") == 0) _exit(0);
  return NULL;
}

int main(int count, char** arguments) {
  const char* way = count > 1 ? arguments[1] : "return";
  int ends[2];
  pthread_t threads[3], filler;
  locked = mkstemp(path);
  if (locked < 0 || flock(locked, LOCK_EX) != 0 || pipe(ends) != 0) abort();
  pthread_create(&threads[0], NULL, lock_file, NULL);
  pthread_create(&threads[1], NULL, read_unhooked, ends);
  pthread_create(&threads[2], NULL, compute, NULL);
  // Others that want the processor.
  for (int i = 0; i < 20; ++i) {
    pthread_create(&filler, NULL, nothing, NULL);
    pthread_join(filler, NULL);
    usleep(5000);
  }
  flock(locked, LOCK_UN);
  if (write(ends[1], "x", 1) != 1) abort();
  for (int i = 0; i < 3; ++i) pthread_join(threads[i], NULL);
  unlink(path);
  pthread_create(&filler, NULL, leave, (void*)way);
  pthread_join(filler, NULL);
  if (strcmp(way, "exit") == 0) exit(0);
  if (strcmp(way, "_exit") == 0) _exit(0);
  if (strcmp(way, "_Exit") == 0) _Exit(0);
  if (strcmp(way, "quick_exit") == 0) quick_exit(0);
  if (strcmp(way, "syscall") == 0) syscall(SYS_exit_group, 0);
  if (strcmp(way, "pthread_exit") == 0) pthread_exit(NULL);
  if (strcmp(way, "signal") == 0) raise(SIGTERM);
  if (strcmp(way, "fork") == 0) {
    if (fork() == 0) _exit(0);  // a process without threads of its own: no summary
    wait(NULL);
  }
  return 0;
}
