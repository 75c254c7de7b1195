// dlopen(3) and dlclose(3) in threads: a library with thread_local objects whose destructors run when their
// threads end, and that stays loaded until they have run; the order in which everything ends.
#include "check.h"

#include <dlfcn.h>
#include <stdatomic.h>

enum { kThreads = 8 };

static atomic_int ended;
static int quiet = 1;
static void note(const char* what) {
  atomic_fetch_add(&ended, strstr(what, "thread_local") != NULL);
  if (!quiet) SAY("%s", what);
}

static void* open_library(void) {
  static atomic_int turn;
  void* handle = dlopen(
      atomic_fetch_add(&turn, 1) % 2 ? LIBRARY_DIRECTORY "/tls_objects.so" : "tls_objects.so", RTLD_NOW);
  CHECK(handle != NULL);
  void (*report_to)(void (*)(const char*));
  *(void**)&report_to = dlsym(handle, "library_report_to");
  CHECK(report_to != NULL);
  report_to(note);
  return handle;
}
static int* value_in(void* handle) {
  int* (*value)(void);
  *(void**)&value = dlsym(handle, "library_value");
  CHECK(value != NULL);
  return value();
}

static void* use(void* number) {
  void* handle = open_library();
  int* value = value_in(handle);
  CHECK(*value == 7);
  *value = (int)(intptr_t)number;
  nap(2);
  CHECK(*value_in(handle) == (int)(intptr_t)number);
  CHECK(dlclose(handle) == 0);
  nap(2);
  CHECK(*value == (int)(intptr_t)number);  // its destructor has not run: the library is there
  return NULL;
}

static pthread_barrier_t step;
static void* given;
static void* use_given(void* unused) {
  pthread_barrier_wait(&step);  // older than the library
  pthread_barrier_wait(&step);
  CHECK(*value_in(given) == 7);
  pthread_barrier_wait(&step);
  pthread_barrier_wait(&step);  // closed meanwhile
  return unused;
}

static void* ends_in_order(void* unused) {
  void* handle = open_library();
  ++*value_in(handle);
  CHECK(dlclose(handle) == 0);
  SAY("closed");
  return unused;
}

int main(void) {
  for (int wave = 0; wave < 3; ++wave) {
    pthread_t threads[kThreads];
    for (int i = 0; i < kThreads; ++i) threads[i] = start_thread(use, number_pointer(100 + i));
    for (int i = 0; i < kThreads; ++i) join_thread(threads[i]);
    SAY("%d objects ended", atomic_load(&ended));
  }
  CHECK(pthread_barrier_init(&step, NULL, 3) == 0);
  pthread_t older[2] = {start_thread(use_given, NULL), start_thread(use_given, NULL)};
  pthread_barrier_wait(&step);
  given = open_library();
  pthread_barrier_wait(&step);
  pthread_barrier_wait(&step);
  CHECK(dlclose(given) == 0);
  pthread_barrier_wait(&step);
  join_thread(older[0]);
  join_thread(older[1]);
  SAY("%d objects ended", atomic_load(&ended));
  quiet = 0;
  join_thread(start_thread(ends_in_order, NULL));
  given = open_library();
  CHECK(*value_in(given) == 7);
  SAY("main returns");
  return 0;
}
