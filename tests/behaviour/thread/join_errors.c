// pthread_join(3), pthread_detach(3), ERRORS: EDEADLK for oneself, EINVAL for a detached thread, ESRCH.
#include "check.h"

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void* join_oneself(void* argument) {
  (void)argument;
  CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
  return NULL;
}

static void* wait_at_gate(void* argument) {
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return argument;
}

int main(void) {
  CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
  join_thread(start_thread(join_oneself, NULL));
  pthread_mutex_lock(&gate);
  pthread_t detached = start_thread(wait_at_gate, NULL);
  CHECK(pthread_detach(detached) == 0);
  CHECK(pthread_join(detached, NULL) == EINVAL);
  CHECK(pthread_detach(detached) == EINVAL);
  pthread_mutex_unlock(&gate);
  // A thread that is no more: undefined, and glibc says ESRCH as long as its memory is not another's.
  pthread_t gone = start_thread(wait_at_gate, NULL);
  join_thread(gone);
  CHECK(pthread_join(gone, NULL) == ESRCH && pthread_detach(gone) == ESRCH);
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0 &&
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  CHECK(pthread_create(&gone, &attributes, wait_at_gate, NULL) == 0);
  nap(50);
  CHECK(pthread_join(gone, NULL) == EINVAL && pthread_detach(gone) == EINVAL);
  SAY("errors as documented");
  return 0;
}
