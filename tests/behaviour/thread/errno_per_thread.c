// errno(3): "errno is thread-local; setting it in one thread does not affect its value in any other thread."
#include "check.h"

enum { threads = 50 };

static pthread_barrier_t all_set;

static void* keep_own_errno(void* argument) {
  int own = (int)(intptr_t)argument;
  errno = own;
  pthread_barrier_wait(&all_set);
  CHECK(errno == own);
  for (int round = 0; round < 5; ++round) {
    nap(1);
    CHECK(errno == own && "a call that succeeds leaves it alone here");
  }
  char byte;
  CHECK_ERRNO(read(-1, &byte, 1), EBADF);
  pthread_barrier_wait(&all_set);
  CHECK(errno == EBADF);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&all_set, NULL, threads) == 0);
  errno = 4242;
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(keep_own_errno, number_pointer(1000 + i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(errno == 4242);
  SAY("every thread kept its own errno");
  return 0;
}
