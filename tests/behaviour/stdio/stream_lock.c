// flockfile(3): a stream is locked while a thread is blocked in a call on it: ftrylockfile fails, another
// reader waits and gets what comes next; lines of many threads to one stream are not mixed.
#include "check.h"

enum { threads = 30, lines = 20 };

static FILE* stream;
static int ends[2];

static void* read_line(void* argument) {
  char line[20];
  CHECK(fgets(line, sizeof line, stream) != NULL);
  CHECK(line[0] == '1' || line[0] == '2');
  return argument == NULL ? number_pointer(line[0]) : argument;
}

static void blocked_holder(void) {
  CHECK(pipe(ends) == 0 && (stream = fdopen(ends[0], "r")) != NULL);
  pthread_t first = start_thread(read_line, NULL);
  while (ftrylockfile(stream) == 0) {  // until the thread is in fgets
    funlockfile(stream);
    nap(1);
  }
  pthread_t second = start_thread(read_line, NULL);
  nap(10);
  CHECK(write(ends[1], "1\n", 2) == 2);
  nap(10);
  CHECK(write(ends[1], "2\n", 2) == 2);
  CHECK((intptr_t)join_thread(first) + (intptr_t)join_thread(second) == '1' + '2');
  CHECK(close(ends[1]) == 0 && fclose(stream) == 0);
}

static void* write_lines(void* argument) {
  for (int i = 0; i < lines; ++i) {
    CHECK(fprintf(stream, "%c%0200d\n", 'A' + (int)(intptr_t)argument, i) == 202);
    flockfile(stream);
    fputs("together ", stream);
    if (i % 10 == 0) nap(1);
    fputs("again\n", stream);
    funlockfile(stream);
  }
  return NULL;
}

static void* count_lines(void* argument) {
  FILE* in = fdopen(ends[0], "r");
  char line[300];
  int count = 0;
  CHECK(in != NULL);
  while (fgets(line, sizeof line, in) != NULL) {
    ++count;
    CHECK(strlen(line) == 202 || strcmp(line, "together again\n") == 0);
  }
  CHECK(fclose(in) == 0);
  return number_pointer(count + (intptr_t)argument);
}

int main(void) {
  blocked_holder();
  SAY("locked while blocked");
  CHECK(pipe(ends) == 0 && (stream = fdopen(ends[1], "w")) != NULL);
  pthread_t writer[threads], reader = start_thread(count_lines, NULL);
  for (int i = 0; i < threads; ++i) writer[i] = start_thread(write_lines, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(writer[i]);
  CHECK(fclose(stream) == 0);
  SAY("%d whole lines", (int)(intptr_t)join_thread(reader));
  return 0;
}
