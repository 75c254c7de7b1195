// Main and a thread, and a thread and a thread, hand a turn to each other by one condition variable.
#include "check.h"

enum { rounds = 2000 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void* alternate(void* argument) {
  int own = (int)(intptr_t)argument;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  for (int round = 0; round < rounds; ++round) {
    while (turn % 2 != own) CHECK(pthread_cond_wait(&changed, &mutex) == 0);
    ++turn;
    CHECK(pthread_cond_signal(&changed) == 0);
  }
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return NULL;
}

int main(void) {
  pthread_t thread = start_thread(alternate, number_pointer(1));
  alternate(number_pointer(0));
  join_thread(thread);
  SAY("main and a thread: %d", turn);
  turn = 0;
  pthread_t first = start_thread(alternate, number_pointer(0)),
            second = start_thread(alternate, number_pointer(1));
  join_thread(first);
  join_thread(second);
  SAY("two threads: %d", turn);
  return 0;
}
