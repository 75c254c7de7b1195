// Every thread joins its predecessor: threads that wait for threads that wait.
#include "check.h"

enum { threads = 60 };

static pthread_t thread[threads];
static pthread_mutex_t created = PTHREAD_MUTEX_INITIALIZER;

static void* join_predecessor(void* argument) {
  intptr_t own = (intptr_t)argument;
  pthread_mutex_lock(&created);
  pthread_mutex_unlock(&created);
  if (own == 0) {
    nap(20);
    return number_pointer(1);
  }
  return number_pointer((intptr_t)join_thread(thread[own - 1]) + 1);
}

int main(void) {
  pthread_mutex_lock(&created);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(join_predecessor, number_pointer(i));
  pthread_mutex_unlock(&created);
  SAY("chain of %d", (int)(intptr_t)join_thread(thread[threads - 1]));
  return 0;
}
