// As main_exits_first, with threads that create further threads after main has gone, all of them detached.
#include "check.h"

static int alive = 1;

static void* go_on(void* argument) {
  intptr_t rest = (intptr_t)argument;
  CHECK(pthread_detach(pthread_self()) == 0);
  nap(2);
  if (rest > 0) {
    for (int i = 0; i < 2; ++i) {
      __atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
      start_thread(go_on, number_pointer(rest - 1));
    }
  }
  if (__atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST) == 0) SAY("the last one ends");
  return NULL;
}

int main(void) {
  start_thread(go_on, number_pointer(6));
  pthread_exit(NULL);
}
