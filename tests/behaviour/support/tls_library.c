// A library with thread-local variables, built once for each model: see thread/thread_local_libraries.c.

static __thread int initialised = 1234;
static __thread char zeroed[100];

int* library_initialised(void);
char* library_zeroed(void);

int* library_initialised(void) {
  return &initialised;
}
char* library_zeroed(void) {
  return zeroed;
}
