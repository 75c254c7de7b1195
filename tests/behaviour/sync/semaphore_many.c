// 200 threads wait on one semaphore, some with a time; main posts, threads post: one leaves for each post.
#include "check.h"

#include <semaphore.h>

enum { threads = 200 };

static sem_t tokens, taken;

static void* take(void* argument) {
  if ((intptr_t)argument % 2 == 0) {
    CHECK(sem_wait(&tokens) == 0);
  } else {
    struct timespec time = clock_after(CLOCK_REALTIME, 60000);
    CHECK(sem_timedwait(&tokens, &time) == 0);
  }
  CHECK(sem_post(&taken) == 0);
  return NULL;
}

static void* post(void* argument) {
  for (int i = 0; i < threads / 4; ++i) CHECK(sem_post(&tokens) == 0);
  return argument;
}

int main(void) {
  int value;
  pthread_t thread[threads];
  CHECK(sem_init(&tokens, 0, 0) == 0 && sem_init(&taken, 0, 0) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(take, number_pointer(i));
  nap(100);  // all are alive
  for (int i = 1; i <= threads / 4; ++i) {
    CHECK(sem_post(&tokens) == 0);
    CHECK(sem_wait(&taken) == 0);
    CHECK(sem_getvalue(&taken, &value) == 0 && value == 0);
  }
  SAY("one by one");
  pthread_t poster = start_thread(post, NULL);
  post(NULL);
  post(NULL);
  join_thread(poster);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(sem_getvalue(&taken, &value) == 0 && value == threads / 4 * 3);
  CHECK(sem_getvalue(&tokens, &value) == 0 && value == 0);
  SAY("all have left");
  return 0;
}
