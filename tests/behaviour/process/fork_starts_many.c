// Many processes at once create their first thread, so that each is put aside by the kernel at one point or
// another of its start. The thread waits for a descriptor, which somebody has to look at.
#include "check.h"

#include <sched.h>
#include <sys/wait.h>

enum { rounds = 8, children = 40 };

static void* read_one(void* fd) {
  char byte;
  CHECK(read(*(int*)fd, &byte, 1) == 1 && byte == 'x');
  return NULL;
}

static void child(void) {
  int there[2], back[2];
  CHECK(pipe(there) == 0 && pipe(back) == 0);
  alarm(50);  // who waits for ever is found out
  pthread_t thread = start_thread(read_one, &there[0]);
  for (volatile int i = 0; i < 200000; ++i) {
  }
  nap(1);
  CHECK(write(there[1], "x", 1) == 1);
  join_thread(thread);
  thread = start_thread(read_one, &back[0]);
  CHECK(write(back[1], "x", 1) == 1);
  join_thread(thread);
  _exit(0);
}

// All on one CPU: they get in each other's way.
static void crowd(void) {
  cpu_set_t all, one;
  CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
  CPU_ZERO(&one);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) ++cpu;
  CPU_SET(cpu, &one);
  CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

int main(void) {
  crowd();
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < children; ++i) {
      int pid = fork();
      CHECK(pid >= 0);
      if (pid == 0) child();
    }
    for (int i = 0; i < children; ++i) {
      int status;
      CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
  }
  SAY("%d processes began", rounds * children);
  return 0;
}
