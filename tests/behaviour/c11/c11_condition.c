// C11 7.26.3: signal, broadcast, timed wait.
#include "check.h"

#include <threads.h>

enum { thread_count = 40 };

static mtx_t mutex;
static cnd_t changed, released;
static int waiting, go;

static int wait_for_release(void* argument) {
  (void)argument;
  CHECK(mtx_lock(&mutex) == thrd_success);
  ++waiting;
  CHECK(cnd_signal(&changed) == thrd_success);
  while (!go) CHECK(cnd_wait(&released, &mutex) == thrd_success);
  --waiting;
  CHECK(mtx_unlock(&mutex) == thrd_success);
  return 0;
}

int main(void) {
  thrd_t thread[thread_count];
  CHECK(mtx_init(&mutex, mtx_plain) == thrd_success);
  CHECK(cnd_init(&changed) == thrd_success && cnd_init(&released) == thrd_success);
  for (int i = 0; i < thread_count; ++i)
    CHECK(thrd_create(&thread[i], wait_for_release, NULL) == thrd_success);
  CHECK(mtx_lock(&mutex) == thrd_success);
  while (waiting < thread_count) CHECK(cnd_wait(&changed, &mutex) == thrd_success);
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  int result;
  while ((result = cnd_timedwait(&changed, &mutex, &time)) == thrd_success) {
  }
  CHECK(result == thrd_timedout && clock_reached(CLOCK_REALTIME, time));
  go = 1;
  CHECK(cnd_broadcast(&released) == thrd_success);
  CHECK(mtx_unlock(&mutex) == thrd_success);
  for (int i = 0; i < thread_count; ++i) CHECK(thrd_join(thread[i], NULL) == thrd_success);
  SAY("%d left waiting", waiting);
  cnd_destroy(&changed);
  cnd_destroy(&released);
  mtx_destroy(&mutex);
  return 0;
}
