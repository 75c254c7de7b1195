// Connections that come and go, each with content that is checked, each with a thread of its own at the
// server:
//   churn CONNECTIONS
// At the end there are as many descriptors as after the first tenth, and no more memory.
#include "loopback.h"

#include <dirent.h>
#include <malloc.h>
#include <stdatomic.h>

enum { clients = 50, longest = 6000, slack = 256 * 1024 };

static int port, listener;
static atomic_uint next_number;
static unsigned last_number;
static atomic_uint served;

static unsigned char byte_of(unsigned number, unsigned position) {
  return (unsigned char)((number * 2654435761u + position * 40503u) >> 13);
}

static void* answer(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  unsigned char buffer[1000];
  ssize_t count;
  while ((count = recv(descriptor, buffer, sizeof buffer, 0)) > 0) {
    for (ssize_t i = 0; i < count; ++i) buffer[i] = (unsigned char)~buffer[i];
    send_all(descriptor, buffer, (size_t)count);
  }
  CHECK(count == 0 && close(descriptor) == 0);
  atomic_fetch_add(&served, 1);
  return NULL;
}

static void* serve(void* argument) {
  pthread_attr_t detached;
  CHECK(pthread_attr_init(&detached) == 0 && pthread_attr_setstacksize(&detached, 65536) == 0);
  CHECK(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0);
  int descriptor;
  while ((descriptor = accept(listener, NULL, NULL)) >= 0) {
    pthread_t thread;
    CHECK(pthread_create(&thread, &detached, answer, number_pointer(descriptor)) == 0);
  }
  CHECK(errno == EINVAL && "shut down");
  return argument;
}

static void* ask(void* argument) {
  unsigned char* buffer = malloc(longest);
  CHECK(buffer != NULL);
  for (unsigned number; (number = atomic_fetch_add(&next_number, 1)) < last_number;) {
    unsigned length = 1 + number * 7919u % longest;
    for (unsigned i = 0; i < length; ++i) buffer[i] = byte_of(number, i);
    int descriptor = connect_loopback(port);
    send_all(descriptor, buffer, length);
    if (number % 2 == 0) CHECK(shutdown(descriptor, SHUT_WR) == 0);
    memset(buffer, 0, length);
    CHECK(read_all(descriptor, buffer, length) == length);
    for (unsigned i = 0; i < length; ++i) CHECK(buffer[i] == (unsigned char)~byte_of(number, i));
    if (number % 2 == 0) CHECK(read(descriptor, buffer, 1) == 0);
    CHECK(close(descriptor) == 0);
  }
  free(buffer);
  return argument;
}

static void wave(unsigned until) {
  pthread_t threads[clients];
  atomic_store(&next_number, last_number);
  unsigned first = last_number;
  last_number = until;
  for (int i = 0; i < clients; ++i) threads[i] = start_thread(ask, NULL);
  for (int i = 0; i < clients; ++i) join_thread(threads[i]);
  while (atomic_load(&served) < until) nap(1);
  CHECK(first < until);
}

static int count_descriptors(void) {
  DIR* directory = opendir("/proc/self/fd");
  int count = 0;
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) ++count;
  CHECK(closedir(directory) == 0);
  return count;
}

int main(int count, char** arguments) {
  if (count != 2) return 2;
  unsigned connections = (unsigned)strtoul(arguments[1], NULL, 10);
  listener = listen_loopback(1024);
  port = bound_port(listener);
  pthread_t server = start_thread(serve, NULL);
  wave(connections / 10);
  int descriptors = count_descriptors();
  size_t bytes = mallinfo2().uordblks;
  wave(connections);
  CHECK(count_descriptors() == descriptors);
  CHECK(mallinfo2().uordblks < bytes + slack);
  CHECK(shutdown(listener, SHUT_RDWR) == 0);
  join_thread(server);
  CHECK(close(listener) == 0);
  SAY("no descriptor and no memory left behind");
  return 0;
}
