// 200 threads in getline on a pipe each, as a server that reads requests with stdio: no thread's wait holds
// up another.
#include "check.h"

enum { threads = 200 };

static int ends[threads][2];
static int answered;

static void* read_request(void* argument) {
  FILE* stream = fdopen(ends[(intptr_t)argument][0], "r");
  char* line = NULL;
  size_t room = 0;
  CHECK(stream != NULL && getline(&line, &room, stream) > 0);
  CHECK(atoi(line) == (int)(intptr_t)argument);
  __atomic_add_fetch(&answered, 1, __ATOMIC_SEQ_CST);
  CHECK(getline(&line, &room, stream) == -1 && feof(stream));
  CHECK(fclose(stream) == 0);
  free(line);
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) CHECK(pipe(ends[i]) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(read_request, number_pointer(i));
  nap(100);  // all are alive
  for (int i = threads - 1; i >= 0; --i) {
    CHECK(dprintf(ends[i][1], "%d\n", i) > 0);
    while (__atomic_load_n(&answered, __ATOMIC_SEQ_CST) < threads - i) nap(1);
  }
  for (int i = 0; i < threads; ++i) CHECK(close(ends[i][1]) == 0);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d answered", answered);
  return 0;
}
