// sem_open(3): two names for one semaphore within the process, and a child that posts.
#include "check.h"

#include <fcntl.h>
#include <semaphore.h>
#include <sys/wait.h>

static sem_t* semaphore;

static void* wait_for_post(void* argument) {
  CHECK(sem_wait(semaphore) == 0);
  return argument;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "/behaviour-%d", (int)getpid());
  semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
  CHECK(semaphore != SEM_FAILED);
  CHECK(sem_open(name, 0) == semaphore);
  pthread_t first = start_thread(wait_for_post, NULL), second = start_thread(wait_for_post, NULL);
  nap(20);
  CHECK(sem_post(semaphore) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(sem_post(semaphore) == 0 ? 0 : 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  join_thread(first);
  join_thread(second);
  CHECK_ERRNO(sem_trywait(semaphore), EAGAIN);
  CHECK(sem_unlink(name) == 0);
  CHECK(sem_open(name, 0) == SEM_FAILED && errno == ENOENT);
  CHECK(sem_close(semaphore) == 0);
  SAY("posted by main and by a child");
  return 0;
}
