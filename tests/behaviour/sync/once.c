// pthread_once(3p): one call, while the others wait until it has returned; the routine may block.
#include "check.h"

enum { threads = 50 };

static pthread_once_t control = PTHREAD_ONCE_INIT;
static int calls, done;

static void initialise(void) {
  __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  nap(30);
  __atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
}

static void* need_it(void* argument) {
  CHECK(pthread_once(&control, initialise) == 0);
  CHECK(__atomic_load_n(&done, __ATOMIC_SEQ_CST) == 1);
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(need_it, NULL);
  need_it(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d call", calls);
  return 0;
}
