// pipe(7), PIPE_BUF: writes of up to 4096 bytes are never mixed with those of other threads, on a full pipe
// too.
#include "check.h"

#include <limits.h>

enum { writers = 20, each = 50 };

static int ends[2];

static void* write_records(void* argument) {
  char record[PIPE_BUF];
  memset(record, 'A' + (int)(intptr_t)argument, sizeof record);
  for (int i = 0; i < each; ++i) CHECK(write(ends[1], record, sizeof record) == sizeof record);
  return NULL;
}

int main(void) {
  CHECK(pipe(ends) == 0);
  pthread_t thread[writers];
  int count[writers] = {0};
  for (int i = 0; i < writers; ++i) thread[i] = start_thread(write_records, number_pointer(i));
  for (int i = 0; i < writers * each; ++i) {
    char record[PIPE_BUF];
    size_t total = 0;
    while (total < sizeof record) {
      ssize_t length = read(ends[0], record + total, sizeof record - total);
      CHECK(length > 0);
      total += (size_t)length;
    }
    for (size_t byte = 1; byte < sizeof record; ++byte) CHECK(record[byte] == record[0]);
    ++count[record[0] - 'A'];
  }
  for (int i = 0; i < writers; ++i) {
    join_thread(thread[i]);
    CHECK(count[i] == each);
  }
  SAY("%d whole records", writers * each);
  return 0;
}
