// readv(2), writev(2), preadv(2), pwritev(2), preadv2(2): on pipes they block like read and write, on files
// they have positions; EINVAL for a bad count, ESPIPE for a position in a pipe.
#include "check.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>

static int ends[2];

static void* write_late(void* argument) {
  struct iovec parts[3] = {{"ab", 2}, {"", 0}, {"cdef", 4}};
  nap(20);
  CHECK(writev(ends[1], parts, 3) == 6);
  return argument;
}

static void* drain(void* argument) {
  static char buffer[65536];
  size_t total = 0, wanted = (size_t)(intptr_t)argument;
  while (total < wanted) {
    ssize_t count = read(ends[0], buffer, sizeof buffer);
    CHECK(count > 0);
    total += (size_t)count;
    nap(1);
  }
  CHECK(total == wanted);
  return NULL;
}

static void pipes(void) {
  volatile int negative = -1, too_many = IOV_MAX + 1;  // volatile: else the compiler finds the mistake
  static char large[300000];
  char first[4], second[8];
  struct iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  CHECK(pipe(ends) == 0);
  pthread_t thread = start_thread(write_late, NULL);
  CHECK(readv(ends[0], parts, 2) == 6 && memcmp(first, "abcd", 4) == 0 && memcmp(second, "ef", 2) == 0);
  join_thread(thread);
  struct iovec much[3] = {{large, 100000}, {large, 1}, {large, sizeof large}};
  thread = start_thread(drain, number_pointer(400001));
  CHECK(writev(ends[1], much, 3) == 400001);
  join_thread(thread);
  CHECK_ERRNO(readv(ends[0], parts, negative), EINVAL);
  CHECK_ERRNO(readv(ends[0], parts, too_many), EINVAL);
  CHECK_ERRNO(pread(ends[0], first, 1, 0), ESPIPE);
  CHECK_ERRNO(preadv(ends[0], parts, 2, 0), ESPIPE);
  CHECK_ERRNO(pwritev(ends[1], parts, 2, 0), ESPIPE);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void files(void) {
  char first[4], second[8];
  struct iovec out[2] = {{"0123", 4}, {"456789", 6}},
               in[2] = {{first, sizeof first}, {second, sizeof second}};
  int descriptor = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(descriptor >= 0 && pwritev(descriptor, out, 2, 2) == 10);
  CHECK(preadv(descriptor, in, 2, 4) == 8 && memcmp(first, "2345", 4) == 0 && memcmp(second, "6789", 4) == 0);
  CHECK(preadv2(descriptor, in, 2, -1, 0) == 12 && lseek(descriptor, 0, SEEK_CUR) == 12);
  CHECK(pread(descriptor, first, 4, 100) == 0 && pwrite(descriptor, "x", 1, 0) == 1);
  CHECK(lseek(descriptor, 0, SEEK_SET) == 0 && read(descriptor, first, 1) == 1 && first[0] == 'x');
  CHECK(readv(descriptor, in, 2) == 11 && readv(descriptor, in, 2) == 0);
  CHECK(close(descriptor) == 0 && unlink("file") == 0);
}

static void* all(void* argument) {
  pipes();
  files();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
