// pthread_atfork(3): prepare handlers in reverse order, parent and child handlers in order, on the forking
// thread; a lock taken in prepare is free afterwards on both sides.
#include "check.h"

#include <sys/wait.h>

static char trail[100];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_t forking;

static void append(const char* word) {
  CHECK(pthread_equal(forking, pthread_self()));
  strcat(trail, word);
}

static void prepare_one(void) {
  CHECK(pthread_mutex_lock(&mutex) == 0);
  append("prepare1 ");
}
static void prepare_two(void) {
  append("prepare2 ");
}
static void parent_one(void) {
  append("parent1 ");
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void parent_two(void) {
  append("parent2 ");
}
static void child_one(void) {
  append("child1 ");
  CHECK(pthread_mutex_unlock(&mutex) == 0);
}
static void child_two(void) {
  append("child2 ");
}

static void* contend(void* argument) {
  for (int round = 0; round < 200; ++round) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    if (round % 50 == 0) nap(1);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return argument;
}

static void* fork_here(void* argument) {
  forking = pthread_self();
  trail[0] = '\0';
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    SAY("%s child: %s", (const char*)argument, trail);
    contend(NULL);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  SAY("%s parent: %s", (const char*)argument, trail);
  return NULL;
}

int main(void) {
  CHECK(pthread_atfork(prepare_one, parent_one, child_one) == 0);
  CHECK(pthread_atfork(prepare_two, parent_two, child_two) == 0);
  pthread_t contender[5];
  for (int i = 0; i < 5; ++i) contender[i] = start_thread(contend, NULL);
  fork_here("main");
  join_thread(start_thread(fork_here, "thread"));
  for (int i = 0; i < 5; ++i) join_thread(contender[i]);
  return 0;
}
