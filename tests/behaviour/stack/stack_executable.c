// Stacks that run code: a library with GNU C nested functions, opened while threads wait, makes the stacks of
// all threads executable, theirs too (ld.so does that natively; PT_GNU_STACK, elf(5)).
#include "check.h"

#include <dlfcn.h>

static pthread_barrier_t opened;
static int (*nested_sum)(int (*apply)(int (*)(int), int), int count, int step);

static int apply(int (*function)(int), int value) {
  if (value == 6) nap(20);
  return function(value);
}

static void* use(void* argument) {
  nap(20);
  pthread_barrier_wait(&opened);
  return number_pointer(nested_sum(apply, 4, (int)(intptr_t)argument));
}

int main(void) {
  CHECK(pthread_barrier_init(&opened, NULL, 9) == 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; ++i) threads[i] = start_thread(use, number_pointer(i));
  nap(100);
  void* library = dlopen(LIBRARY_DIRECTORY "/nested_library.so", RTLD_NOW);
  CHECK(library != NULL);
  *(void**)&nested_sum = dlsym(library, "nested_sum");
  CHECK(nested_sum != NULL);
  pthread_barrier_wait(&opened);
  for (int i = 0; i < 8; ++i) CHECK((intptr_t)join_thread(threads[i]) == 4 * i);
  SAY("threads that were there");
  CHECK(pthread_barrier_destroy(&opened) == 0 && pthread_barrier_init(&opened, NULL, 1) == 0);
  CHECK((intptr_t)join_thread(start_thread(use, number_pointer(9))) == 36);
  SAY("a thread made later");
  return 0;
}
