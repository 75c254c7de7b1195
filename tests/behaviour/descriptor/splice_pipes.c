// splice(2), tee(2), vmsplice(2), sendfile(2) in threads: a chain of pipes through which 4 MiB go, duplicated
// on the way.
#include "loopback.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define TOTAL (4u << 20)

static int first[2], copy[2], second[2], connection[2];
static unsigned char* source;

static void* fill(void* argument) {
  size_t done = 0;
  while (done < TOTAL) {
    struct iovec part = {source + done, TOTAL - done};
    ssize_t count = vmsplice(first[1], &part, 1, 0);
    CHECK(count > 0);
    done += (size_t)count;
  }
  CHECK(close(first[1]) == 0);
  return argument;
}

// What comes goes to the copy, then on.
static void* duplicate(void* argument) {
  for (;;) {
    ssize_t count = tee(first[0], copy[1], 65536, 0);
    CHECK(count >= 0);
    if (count == 0) break;
    while (count > 0) {
      ssize_t moved = splice(first[0], NULL, second[1], NULL, (size_t)count, SPLICE_F_MOVE);
      CHECK(moved > 0);
      count -= moved;
    }
  }
  CHECK(close(copy[1]) == 0 && close(second[1]) == 0);
  return argument;
}

static void* to_socket(void* argument) {
  ssize_t count;
  while ((count = splice(second[0], NULL, connection[0], NULL, 1 << 20, SPLICE_F_MORE)) > 0) continue;
  CHECK(count == 0 && shutdown(connection[0], SHUT_WR) == 0);
  return argument;
}

static void* check(void* argument) {
  int descriptor = *(int*)argument;
  unsigned char* got = malloc(TOTAL + 1);
  CHECK(got != NULL && read_all(descriptor, got, TOTAL + 1) == TOTAL && memcmp(got, source, TOTAL) == 0);
  free(got);
  return NULL;
}

int main(void) {
  source = malloc(TOTAL);
  CHECK(source != NULL);
  for (unsigned i = 0; i < TOTAL; ++i) source[i] = (unsigned char)(i * 2654435761u >> 13);
  CHECK(pipe(first) == 0 && pipe(copy) == 0 && pipe(second) == 0);
  int listener = listen_loopback(1);
  connection[0] = connect_loopback(bound_port(listener));
  connection[1] = accept(listener, NULL, NULL);
  pthread_t threads[] = {start_thread(check, &copy[0]), start_thread(check, &connection[1]),
                         start_thread(to_socket, NULL), start_thread(duplicate, NULL),
                         start_thread(fill, NULL)};
  for (int i = 0; i < 5; ++i) join_thread(threads[i]);
  int file = open("file", O_RDWR | O_CREAT, 0600);
  CHECK(write(file, source, 1 << 20) == 1 << 20 && lseek(file, 0, SEEK_SET) == 0);
  CHECK(sendfile(connection[1], file, NULL, 100) == 100 && lseek(file, 0, SEEK_CUR) == 100);
  CHECK_ERRNO(splice(file, NULL, connection[1], NULL, 10, 0), EINVAL);
  CHECK_ERRNO(tee(file, copy[0], 10, 0), EBADF);
  CHECK_ERRNO(sendfile(connection[1], -1, NULL, 100), EBADF);
  SAY("%u bytes twice", TOTAL);
  return 0;
}
