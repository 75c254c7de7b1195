// fifo(7) from many threads: 30 named pipes, a thread that opens each end, whoever comes first waits in
// open(2).
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

#define PIPES 30

static void* write_end(void* argument) {
  char name[16];
  snprintf(name, sizeof name, "fifo%d", (int)(intptr_t)argument);
  int descriptor = open(name, O_WRONLY);
  CHECK(descriptor >= 0 && write(descriptor, name, strlen(name)) == (ssize_t)strlen(name) &&
        close(descriptor) == 0);
  return NULL;
}

static void* read_end(void* argument) {
  char name[16], text[16] = "";
  snprintf(name, sizeof name, "fifo%d", (int)(intptr_t)argument);
  FILE* stream = fopen(name, "r");
  CHECK(stream != NULL && fgets(text, sizeof text, stream) != NULL && strcmp(text, name) == 0 &&
        fclose(stream) == 0);
  return NULL;
}

int main(void) {
  pthread_t threads[2 * PIPES];
  for (int i = 0; i < PIPES; ++i) {
    char name[16];
    snprintf(name, sizeof name, "fifo%d", i);
    CHECK(mkfifo(name, 0600) == 0);
    threads[i] = start_thread(i % 2 ? write_end : read_end, number_pointer(i));
  }
  nap(50);
  for (int i = 0; i < PIPES; ++i)
    threads[PIPES + i] = start_thread(i % 2 ? read_end : write_end, number_pointer(i));
  for (int i = 0; i < 2 * PIPES; ++i) join_thread(threads[i]);
  SAY("%d fifos", PIPES);
  return 0;
}
