// pthread_key_create(3p): PTHREAD_KEYS_MAX keys, then EAGAIN; every thread has its own values of all of them.
#include "check.h"

#include <limits.h>

enum { threads = 20 };

static pthread_key_t key[PTHREAD_KEYS_MAX];
static int keys;
static int destroyed;

static void count(void* value) {
  (void)value;
  __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

static void* use_all(void* argument) {
  intptr_t own = (intptr_t)argument * PTHREAD_KEYS_MAX;
  for (int i = 0; i < keys; ++i) {
    CHECK(pthread_getspecific(key[i]) == NULL);
    CHECK(pthread_setspecific(key[i], number_pointer(own + i + 1)) == 0);
  }
  nap(2);
  for (int i = 0; i < keys; ++i) CHECK(pthread_getspecific(key[i]) == number_pointer(own + i + 1));
  return NULL;
}

int main(void) {
  int result = 0;
  while (keys < PTHREAD_KEYS_MAX && (result = pthread_key_create(&key[keys], count)) == 0) ++keys;
  pthread_key_t one_more;
  CHECK(pthread_key_create(&one_more, NULL) == EAGAIN);
  SAY("%d keys", keys);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(use_all, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d destructors", destroyed);
  CHECK(destroyed == keys * threads);
  CHECK(pthread_key_delete(key[500]) == 0);
  CHECK(pthread_key_create(&one_more, NULL) == 0 && one_more == key[500]);
  return 0;
}
