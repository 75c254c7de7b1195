// send(2), write(2), writev(2) on a blocking stream return the whole length, 6 MiB to a slow reader, with
// every byte in its place; over TCP and over a unix socket.
#include "loopback.h"

#include <sys/uio.h>

enum { size = 6 << 20, third = size / 3 };

static unsigned char* pattern;

struct Reader {
  int descriptor, slow;
};

static void* read_slowly(void* argument) {
  const struct Reader* reader = (const struct Reader*)argument;
  unsigned char buffer[50000];
  size_t total = 0;
  ssize_t count;
  while ((count = recv(reader->descriptor, buffer, sizeof buffer, 0)) > 0) {
    CHECK(total + (size_t)count <= size && memcmp(buffer, pattern + total, (size_t)count) == 0);
    size_t before = total;
    total += (size_t)count;
    if (reader->slow && before >> 18 != total >> 18) nap(3);
  }
  CHECK(count == 0);
  return number_pointer((intptr_t)total);
}

static void* transfer(int ends[2]) {
  struct Reader reader = {ends[0], 1};
  pthread_t thread = start_thread(read_slowly, &reader);
  CHECK(send(ends[1], pattern, third, 0) == third);
  CHECK(write(ends[1], pattern + third, third) == third);
  struct iovec parts[3] = {
      {pattern + 2 * third, 1}, {pattern + 2 * third + 1, 0}, {pattern + 2 * third + 1, third - 1}};
  CHECK(writev(ends[1], parts, 3) == third);
  CHECK(shutdown(ends[1], SHUT_WR) == 0);
  CHECK((intptr_t)join_thread(thread) == size);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return NULL;
}

static void* both(void* argument) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  transfer(ends);
  int listener = listen_loopback(1);
  ends[1] = connect_loopback(bound_port(listener));
  ends[0] = accept(listener, NULL, NULL);
  CHECK(ends[0] >= 0);
  transfer(ends);
  CHECK(close(listener) == 0);
  SAY("%s sent 6 MiB twice", (const char*)argument);
  return NULL;
}

int main(void) {
  pattern = (unsigned char*)malloc(size);
  CHECK(pattern != NULL);
  for (int i = 0; i < size; ++i) pattern[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
  both("main");
  join_thread(start_thread(both, "a thread"));
  free(pattern);
  return 0;
}
