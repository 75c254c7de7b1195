// pthread_setname_np(3): 15 characters, ERANGE above; a thread starts with its creator's name;
// prctl(PR_SET_NAME) is the calling thread's alone.
#include "check.h"

#include <sys/prctl.h>

enum { threads = 20 };

static pthread_barrier_t named;

static void* name_oneself(void* argument) {
  char own[16], found[16];
  CHECK(pthread_getname_np(pthread_self(), found, sizeof found) == 0);
  CHECK(strcmp(found, "the-creator") == 0);
  snprintf(own, sizeof own, "worker-%d", (int)(intptr_t)argument);
  if ((intptr_t)argument % 2 == 0) {
    CHECK(pthread_setname_np(pthread_self(), own) == 0);
  } else {
    CHECK(prctl(PR_SET_NAME, own) == 0);
  }
  pthread_barrier_wait(&named);
  nap(5);
  CHECK(pthread_getname_np(pthread_self(), found, sizeof found) == 0 && strcmp(found, own) == 0);
  CHECK(prctl(PR_GET_NAME, found) == 0 && strcmp(found, own) == 0);
  pthread_barrier_wait(&named);
  pthread_barrier_wait(&named);
  CHECK(prctl(PR_GET_NAME, found) == 0 && strcmp(found, "renamed") == 0);
  return NULL;
}

int main(void) {
  char found[16];
  CHECK(pthread_setname_np(pthread_self(), "the-creator") == 0);
  CHECK(pthread_barrier_init(&named, NULL, threads + 1) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(name_oneself, number_pointer(i));
  pthread_barrier_wait(&named);
  pthread_barrier_wait(&named);
  CHECK(pthread_getname_np(thread[7], found, sizeof found) == 0);
  SAY("thread 7 is %s", found);
  CHECK(pthread_setname_np(thread[7], "sixteen-letters!") == ERANGE);
  CHECK(pthread_getname_np(thread[7], found, 5) == ERANGE);
  for (int i = 0; i < threads; ++i) CHECK(pthread_setname_np(thread[i], "renamed") == 0);
  pthread_barrier_wait(&named);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(prctl(PR_GET_NAME, found) == 0);
  SAY("main is %s", found);
  return 0;
}
