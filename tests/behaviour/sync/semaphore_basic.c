// sem_overview(7): counting, EAGAIN, ETIMEDOUT, EINVAL, EOVERFLOW, sem_getvalue; by a thread and by main.
#include "check.h"

#include <limits.h>
#include <semaphore.h>

static void* use(void* argument) {
  sem_t semaphore;
  int value;
  CHECK(sem_init(&semaphore, 0, 2) == 0);
  CHECK(sem_wait(&semaphore) == 0 && sem_trywait(&semaphore) == 0);
  CHECK_ERRNO(sem_trywait(&semaphore), EAGAIN);
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  CHECK_ERRNO(sem_timedwait(&semaphore, &time), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_REALTIME, time));
  time = clock_after(CLOCK_MONOTONIC, 20);
  CHECK_ERRNO(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &time), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, time));
  time.tv_nsec = 1000000000;
  CHECK_ERRNO(sem_timedwait(&semaphore, &time), EINVAL);
  CHECK(sem_post(&semaphore) == 0 && sem_getvalue(&semaphore, &value) == 0 && value == 1);
  struct timespec past = {1, 0};
  CHECK(sem_timedwait(&semaphore, &past) == 0);
  CHECK(sem_getvalue(&semaphore, &value) == 0 && value == 0);
  CHECK(sem_destroy(&semaphore) == 0);
  CHECK(sem_init(&semaphore, 0, SEM_VALUE_MAX) == 0);
  CHECK_ERRNO(sem_post(&semaphore), EOVERFLOW);
  CHECK(sem_destroy(&semaphore) == 0);
  CHECK_ERRNO(sem_init(&semaphore, 0, (unsigned)SEM_VALUE_MAX + 1), EINVAL);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  use("main");
  join_thread(start_thread(use, "a thread"));
  return 0;
}
