// pthread_barrier_wait(3p): nobody passes before all have come, exactly one gets
// PTHREAD_BARRIER_SERIAL_THREAD, the barrier is ready for the next round at once, and may be destroyed by the
// first to leave.
#include "check.h"

enum { threads = 100, rounds = 20 };

static pthread_barrier_t barrier;
static int arrived[rounds], serial[rounds];

static void* go_through(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    __atomic_add_fetch(&arrived[round], 1, __ATOMIC_SEQ_CST);
    if (round == 0) nap(100);
    int result = pthread_barrier_wait(&barrier);
    CHECK(__atomic_load_n(&arrived[round], __ATOMIC_SEQ_CST) == threads + 1);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    if (result != 0) __atomic_add_fetch(&serial[round], 1, __ATOMIC_SEQ_CST);
  }
  return argument;
}

static void* leave_and_destroy(void* argument) {
  pthread_barrier_t* own = (pthread_barrier_t*)argument;
  if (pthread_barrier_wait(own) == PTHREAD_BARRIER_SERIAL_THREAD) CHECK(pthread_barrier_destroy(own) == 0);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&barrier, NULL, 0) == EINVAL);
  CHECK(pthread_barrier_init(&barrier, NULL, threads + 1) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(go_through, NULL);
  go_through(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  for (int round = 0; round < rounds; ++round) CHECK(serial[round] == 1);
  CHECK(pthread_barrier_destroy(&barrier) == 0);
  SAY("%d rounds, one serial thread each", rounds);
  for (int round = 0; round < 200; ++round) {
    CHECK(pthread_barrier_init(&barrier, NULL, 3) == 0);
    for (int i = 0; i < 3; ++i) thread[i] = start_thread(leave_and_destroy, &barrier);
    for (int i = 0; i < 3; ++i) join_thread(thread[i]);
  }
  SAY("destroyed by the first to leave");
  return 0;
}
