// fifo(7): open blocks until the other end is opened, by threads of one process; O_NONBLOCK gives ENXIO.
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

static void* write_end(void* argument) {
  int descriptor = open("fifo", O_WRONLY);
  CHECK(descriptor >= 0 && write(descriptor, "through", 7) == 7 && close(descriptor) == 0);
  return argument;
}

static void* read_end(void* argument) {
  char buffer[16];
  int descriptor = open("fifo", O_RDONLY);
  CHECK(descriptor >= 0 && read(descriptor, buffer, sizeof buffer) == 7);
  CHECK(read(descriptor, buffer, sizeof buffer) == 0 && close(descriptor) == 0);
  return argument;
}

static void meet(void* (*first)(void*), void* (*second)(void*)) {
  pthread_t early = start_thread(first, NULL);
  nap(30);
  pthread_t late = start_thread(second, NULL);
  join_thread(early);
  join_thread(late);
}

int main(void) {
  CHECK(mkfifo("fifo", 0600) == 0);
  CHECK_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  meet(read_end, write_end);
  SAY("the reader waited");
  meet(write_end, read_end);
  SAY("the writer waited");
  return 0;
}
