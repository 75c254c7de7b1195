// uselocale(3), strerror(3), dlerror(3), strtok_r: what libc itself keeps for each thread.
#include "check.h"

#include <dlfcn.h>
#include <locale.h>

enum { threads = 30 };

static pthread_barrier_t all_alive;

static void* use_own_state(void* argument) {
  intptr_t own = (intptr_t)argument;
  CHECK(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
  locale_t mine = newlocale(LC_ALL_MASK, own % 2 == 0 ? "C" : "POSIX", (locale_t)0);
  CHECK(mine != (locale_t)0);
  mine = duplocale(mine);
  CHECK(uselocale(mine) == LC_GLOBAL_LOCALE);
  char library[40], expected[40];
  snprintf(library, sizeof library, "/nowhere/number-%d.so", (int)own);
  CHECK(dlopen(library, RTLD_NOW) == NULL);
  const char* unknown = strerror(9000 + (int)own);
  snprintf(expected, sizeof expected, "Unknown error %d", 9000 + (int)own);
  pthread_barrier_wait(&all_alive);
  nap(2);
  CHECK(uselocale((locale_t)0) == mine);
  CHECK(strcmp(unknown, expected) == 0);
  const char* message = dlerror();
  CHECK(message != NULL && strstr(message, library) != NULL);
  CHECK(dlerror() == NULL);
  CHECK(uselocale(LC_GLOBAL_LOCALE) == mine);
  freelocale(mine);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&all_alive, NULL, threads) == 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(use_own_state, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(dlerror() == NULL && uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
  SAY("each had its own locale and messages");
  return 0;
}
