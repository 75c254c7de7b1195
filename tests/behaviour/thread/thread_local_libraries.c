// dlopen(3) while threads are alive: thread-local variables of the new library, of each model and dialect,
// have their initial values in threads older and newer than the library.
#include "check.h"

#include <dlfcn.h>

enum { threads = 20, libraries = 4 };

struct Library {
  void* handle;
  int* (*initialised)(void);
  char* (*zeroed)(void);
};

static struct Library library[libraries];
static pthread_barrier_t step;

static void use_library(const struct Library* from, int own) {
  CHECK(*from->initialised() == 1234);
  for (int i = 0; i < 100; ++i) CHECK(from->zeroed()[i] == 0);
  *from->initialised() = own;
  memset(from->zeroed(), own, 100);
  nap(2);
  CHECK(*from->initialised() == own && from->zeroed()[99] == (char)own);
}

static void* use_both(void* argument) {
  pthread_barrier_wait(&step);  // alive
  pthread_barrier_wait(&step);  // opened
  for (int i = 0; i < libraries; ++i) use_library(&library[i], (int)(intptr_t)argument);
  return NULL;
}

// By path, by a name that the program's RUNPATH finds, and with $ORIGIN.
static void open_library(struct Library* opened, const char* name, int way) {
  static const char* const formats[] = {LIBRARY_DIRECTORY "/%s", "%s", "$ORIGIN/%s"};
  char path[4096];
  snprintf(path, sizeof path, formats[way], name);
  opened->handle = dlopen(path, RTLD_NOW);
  CHECK(opened->handle != NULL);
  void* handle = opened->handle;
  *(void**)&opened->initialised = dlsym(handle, "library_initialised");
  *(void**)&opened->zeroed = dlsym(handle, "library_zeroed");
  CHECK(opened->initialised != NULL && opened->zeroed != NULL);
}

int main(void) {
  CHECK(pthread_barrier_init(&step, NULL, threads + 1) == 0);
  for (int wave = 0; wave < 6; ++wave) {
    pthread_t thread[threads];
    for (int i = 0; i < threads; ++i) thread[i] = start_thread(use_both, number_pointer(i + 1));
    pthread_barrier_wait(&step);
    open_library(&library[0], "tls_global-dynamic.so", wave % 3);
    open_library(&library[1], "tls_initial-exec.so", wave % 3);
    open_library(&library[2], "tls_local-dynamic.so", wave % 3);
    open_library(&library[3], "tls_descriptors.so", wave % 3);
    pthread_barrier_wait(&step);
    for (int i = 0; i < threads; ++i) join_thread(thread[i]);
    for (int i = 0; wave % 2 == 0 && i < libraries; ++i) CHECK(dlclose(library[i].handle) == 0);
    SAY("wave %d", wave);
  }
  return 0;
}
