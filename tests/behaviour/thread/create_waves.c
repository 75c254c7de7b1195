// Wave after wave of 150 threads: ended threads make room, and nothing of one shows in the next.
#include "check.h"

enum { threads = 150, waves = 20 };

static __thread int used;
static pthread_barrier_t all_alive;

static void* run(void* argument) {
  CHECK(used == 0);
  CHECK(errno == 0);
  used = 1;
  errno = ENOSPC;
  char* memory = (char*)malloc(1000);
  CHECK(memory != NULL);
  memset(memory, 1, 1000);
  pthread_barrier_wait(&all_alive);
  nap(10);
  free(memory);
  return argument;
}

int main(void) {
  CHECK(pthread_barrier_init(&all_alive, NULL, threads) == 0);
  for (int wave = 0; wave < waves; ++wave) {
    pthread_t thread[threads];
    for (int i = 0; i < threads; ++i) thread[i] = start_thread(run, number_pointer(i));
    for (int i = 0; i < threads; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  }
  SAY("%d waves of %d", waves, threads);
  return 0;
}
