// sendfile(2), splice(2), copy_file_range(2): between files, pipes and sockets, blocking where read and write
// would.
#include "check.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum { size = 3 << 20 };

static int ends[2];

static void* read_slowly(void* argument) {
  static char buffer[1 << 16];
  size_t total = 0;
  ssize_t count;
  (void)argument;
  while ((count = read(ends[0], buffer, sizeof buffer)) > 0) {
    for (ssize_t i = 0; i < count; ++i) CHECK(buffer[i] == (char)((total + (size_t)i) % 251));
    total += (size_t)count;
    if (total % (1 << 19) < (1 << 16)) nap(1);
  }
  CHECK(count == 0);
  return number_pointer((intptr_t)total);
}

static int make_file(void) {
  char* content = (char*)malloc(size);
  CHECK(content != NULL);
  for (int i = 0; i < size; ++i) content[i] = (char)(i % 251);
  int descriptor = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(descriptor >= 0 && write(descriptor, content, size) == size);
  free(content);
  return descriptor;
}

static void send_whole(int file) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  pthread_t reader = start_thread(read_slowly, NULL);
  off_t offset = 0;
  while (offset < size) CHECK(sendfile(ends[1], file, &offset, (size_t)(size - offset)) > 0);
  CHECK(shutdown(ends[1], SHUT_WR) == 0);
  CHECK((intptr_t)join_thread(reader) == size);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void splice_whole(int file) {
  CHECK(pipe(ends) == 0);
  pthread_t reader = start_thread(read_slowly, NULL);
  loff_t offset = 0;
  while (offset < size) CHECK(splice(file, &offset, ends[1], NULL, (size_t)(size - offset), 0) > 0);
  CHECK(close(ends[1]) == 0);
  CHECK((intptr_t)join_thread(reader) == size && close(ends[0]) == 0);
}

static void* all(void* argument) {
  int file = make_file();
  send_whole(file);
  splice_whole(file);
  CHECK(close(file) == 0 && unlink("file") == 0);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
