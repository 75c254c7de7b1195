// pthread_cleanup_push(3), pthread_exit(3): the handlers still pushed run in reverse order, then keys'
// destructors; pthread_join gets the value.
#include "check.h"

static char trail[200];
static pthread_key_t key;

static void append(void* word) {
  nap(1);
  strcat(trail, (const char*)word);
}

static void key_destructor(void* value) {
  (void)value;
  append("key");
}

static void* volatile exit_value;

__attribute__((noinline)) static void leave(int depth) {
  pthread_cleanup_push(append, depth % 2 == 0 ? "even " : "odd ");
  if (depth == 0 && exit_value != NULL) pthread_exit(exit_value);
  if (depth > 0) leave(depth - 1);
  pthread_cleanup_pop(0);
}

static void* exit_from_nested_calls(void* argument) {
  (void)argument;
  CHECK(pthread_setspecific(key, trail) == 0);
  exit_value = number_pointer(31);
  pthread_cleanup_push(append, "outermost ");
  pthread_cleanup_push(append, "popped-and-run ");
  pthread_cleanup_pop(1);
  pthread_cleanup_push(append, "never ");
  pthread_cleanup_pop(0);
  leave(3);
  pthread_cleanup_pop(0);
  return NULL;
}

static void* return_with_nothing_pushed(void* argument) {
  pthread_cleanup_push(append, "never ");
  nap(1);
  pthread_cleanup_pop(0);
  return argument;
}

int main(void) {
  CHECK(pthread_key_create(&key, key_destructor) == 0);
  CHECK(join_thread(start_thread(exit_from_nested_calls, NULL)) == number_pointer(31));
  SAY("%s", trail);
  trail[0] = '\0';
  CHECK(join_thread(start_thread(return_with_nothing_pushed, &key)) == &key);
  SAY("return: '%s'", trail);
  return 0;
}
