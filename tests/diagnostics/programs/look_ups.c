// look_ups: 40 threads look up names at the same time, which takes a kernel thread each; then all sleep, and
// "ready"; a line on stdin ends it.
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 40 };
static pthread_barrier_t together;

static void* look_up(void* unused) {
  struct addrinfo* found;
  pthread_barrier_wait(&together);
  if (getaddrinfo("localhost", "80", NULL, &found) == 0) freeaddrinfo(found);
  pthread_barrier_wait(&together);
  for (;;) sleep(1000);
  return unused;
}

int main(void) {
  pthread_barrier_init(&together, NULL, THREADS + 1);
  for (int i = 0; i < THREADS; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, look_up, NULL);
  }
  pthread_barrier_wait(&together);
  pthread_barrier_wait(&together);
  puts("ready");
  fflush(stdout);
  getchar();
  return 0;
}
