// openers: 30 threads open a FIFO that nobody writes to, which takes a kernel thread each; "blocked" when
// they do, and at a line on stdin somebody writes; then all sleep, and "ready"; another line ends it.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS = 30 };
static pthread_barrier_t together;
static char name[] = "/tmp/openers.XXXXXX", fifo[40];

static void* open_fifo(void* unused) {
  pthread_barrier_wait(&together);
  if (open(fifo, O_RDONLY) < 0) abort();
  pthread_barrier_wait(&together);
  for (;;) sleep(1000);
  return unused;
}

static void say(const char* word) {
  puts(word);
  fflush(stdout);
}

int main(void) {
  if (mkdtemp(name) == NULL) abort();
  snprintf(fifo, sizeof fifo, "%s/fifo", name);
  if (mkfifo(fifo, 0600) != 0) abort();
  pthread_barrier_init(&together, NULL, THREADS + 1);
  for (int i = 0; i < THREADS; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, open_fifo, NULL);
  }
  pthread_barrier_wait(&together);
  say("blocked");
  getchar();
  if (open(fifo, O_WRONLY) < 0) abort();
  pthread_barrier_wait(&together);
  unlink(fifo);
  rmdir(name);
  say("ready");
  getchar();
  return 0;
}
