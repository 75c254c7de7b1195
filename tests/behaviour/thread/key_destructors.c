// pthread_key_create(3p): a non-NULL value's destructor runs at the thread's end, with the key's value
// already NULL; when destructors set values again they run again, PTHREAD_DESTRUCTOR_ITERATIONS (4) times in
// all.
#include "check.h"

#include <limits.h>

static pthread_key_t plain, stubborn, unset, deleted;
static int plain_calls, stubborn_calls, unset_calls, deleted_calls;

static void count_plain(void* value) {
  CHECK(value == &plain_calls);
  CHECK(pthread_getspecific(plain) == NULL);
  nap(1);
  ++plain_calls;
}

static void set_again(void* value) {
  ++stubborn_calls;
  CHECK(pthread_setspecific(stubborn, value) == 0);
}

static void count_unset(void* value) {
  (void)value;
  ++unset_calls;
}

static void count_deleted(void* value) {
  (void)value;
  ++deleted_calls;
}

static void* set_values(void* argument) {
  CHECK(pthread_getspecific(plain) == NULL && pthread_getspecific(unset) == NULL);
  CHECK(pthread_setspecific(plain, &plain_calls) == 0);
  CHECK(pthread_setspecific(stubborn, argument) == 0);
  CHECK(pthread_setspecific(unset, argument) == 0);
  CHECK(pthread_setspecific(unset, NULL) == 0);
  CHECK(pthread_setspecific(deleted, argument) == 0);
  CHECK(pthread_key_delete(deleted) == 0);
  CHECK(pthread_setspecific(deleted, argument) == EINVAL);
  nap(1);
  CHECK(pthread_getspecific(plain) == &plain_calls);
  return NULL;
}

int main(void) {
  CHECK(pthread_key_create(&plain, count_plain) == 0);
  CHECK(pthread_key_create(&stubborn, set_again) == 0);
  CHECK(pthread_key_create(&unset, count_unset) == 0);
  CHECK(pthread_key_create(&deleted, count_deleted) == 0);
  join_thread(start_thread(set_values, &plain));
  SAY("plain %d, set again %d, unset %d, deleted %d", plain_calls, stubborn_calls, unset_calls,
      deleted_calls);
  CHECK(PTHREAD_DESTRUCTOR_ITERATIONS == 4 && pthread_getspecific(plain) == NULL);
  CHECK(pthread_key_delete(plain) == 0);
  CHECK(pthread_key_delete(plain) == EINVAL);
  return 0;
}
