// C11 7.26.6 and 7.26.2: thread-specific storage with destructors, call_once with a function that blocks.
#include "check.h"

#include <stdatomic.h>
#include <threads.h>

enum { thread_count = 30 };

static tss_t storage;
static once_flag once = ONCE_FLAG_INIT;
static atomic_int initialised, destroyed;
static thread_local int own = 5;

static void destroy(void* value) {
  CHECK(value != NULL);
  atomic_fetch_add(&destroyed, 1);
}

static void initialise(void) {
  CHECK(tss_create(&storage, destroy) == thrd_success);
  nap(20);
  atomic_fetch_add(&initialised, 1);
}

static int run(void* argument) {
  call_once(&once, initialise);
  CHECK(atomic_load(&initialised) == 1);
  CHECK(tss_get(storage) == NULL && own == 5);
  own = *(int*)argument;
  CHECK(tss_set(storage, &own) == thrd_success);
  nap(2);
  CHECK(tss_get(storage) == &own && own == *(int*)argument);
  return own;
}

int main(void) {
  thrd_t thread[thread_count];
  int number[thread_count];
  for (int i = 0; i < thread_count; ++i) {
    number[i] = i;
    CHECK(thrd_create(&thread[i], run, &number[i]) == thrd_success);
  }
  for (int i = 0; i < thread_count; ++i) {
    int result = -1;
    CHECK(thrd_join(thread[i], &result) == thrd_success && result == i);
  }
  SAY("%d initialised, %d destroyed", atomic_load(&initialised), atomic_load(&destroyed));
  tss_delete(storage);
  return 0;
}
