// Files: 32 MiB in one write and read by several threads, at positions, O_DIRECT with aligned buffers (where
// the file system has it), fsync; the others go on meanwhile, each thread's bytes are its own.
#include "check.h"

#include <fcntl.h>
#include <sys/uio.h>

#define THREADS 4
#define SIZE (8u << 20)

static int file, direct;

static void* write_and_read(void* argument) {
  unsigned self = (unsigned)(intptr_t)argument;
  unsigned char *data, *back;
  CHECK(posix_memalign((void**)&data, 4096, SIZE) == 0 && posix_memalign((void**)&back, 4096, SIZE) == 0);
  for (unsigned i = 0; i < SIZE; ++i) data[i] = (unsigned char)((i * 2654435761u >> 17) + self);
  off_t where = (off_t)self * SIZE;
  CHECK(pwrite(file, data, SIZE, where) == (ssize_t)SIZE && fsync(file) == 0);
  CHECK(pread(file, back, SIZE, where) == (ssize_t)SIZE && memcmp(data, back, SIZE) == 0);
  if (direct >= 0) {
    memset(back, 0, SIZE);
    CHECK(pread(direct, back, SIZE, where) == (ssize_t)SIZE && memcmp(data, back, SIZE) == 0);
    CHECK(pwrite(direct, data, 65536, where) == 65536 && fdatasync(direct) == 0);
  }
  struct iovec parts[2] = {{back, 4096}, {back + 4096, SIZE - 4096}};
  CHECK(preadv(file, parts, 2, where) == (ssize_t)SIZE && memcmp(data, back, SIZE) == 0);
  free(data);
  free(back);
  return NULL;
}

int main(void) {
  pthread_t threads[THREADS];
  file = open("file", O_RDWR | O_CREAT, 0600);
  direct = open("file", O_RDWR | O_DIRECT);
  CHECK(file >= 0 && ftruncate(file, (off_t)THREADS * SIZE) == 0);
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(write_and_read, number_pointer(i));
  for (int i = 0; i < THREADS; ++i) join_thread(threads[i]);
  CHECK(lseek(file, 0, SEEK_CUR) == 0);
  SAY("%d threads", THREADS);
  return 0;
}
