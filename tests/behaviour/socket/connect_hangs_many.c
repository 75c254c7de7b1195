// A thousand connections at once to a listener whose queue is full: their SYNs stay unanswered (listen(2)).
// The others go on meanwhile, the sockets' flags stay as they are, and all are refused when the listener is
// gone.
#include "loopback.h"

#include <fcntl.h>
#include <stdatomic.h>

#define CONNECTIONS 1000

static struct sockaddr_in address;
static atomic_int begun, refused;

static void* connect_in_vain(void* argument) {
  (void)argument;
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(descriptor >= 0);
  atomic_fetch_add(&begun, 1);
  CHECK_ERRNO(connect(descriptor, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0);
  atomic_fetch_add(&refused, 1);
  CHECK(close(descriptor) == 0);
  return NULL;
}

static void* echo(void* argument) {
  char byte;
  while (read(*(int*)argument, &byte, 1) == 1) CHECK(write(*(int*)argument, &byte, 1) == 1);
  return NULL;
}

int main(void) {
  static pthread_t threads[CONNECTIONS];
  int listener = listen_loopback(0), pair[2], filler[8];
  address = loopback_address(bound_port(listener));
  for (int i = 0; i < 8; ++i) {
    filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(filler[i], (struct sockaddr*)&address, sizeof address) == 0 || errno == EINPROGRESS);
  }
  nap(20);
  pthread_attr_t small;
  CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 65536) == 0);
  for (int i = 0; i < CONNECTIONS; ++i)
    CHECK(pthread_create(&threads[i], &small, connect_in_vain, NULL) == 0);
  while (atomic_load(&begun) < CONNECTIONS) nap(1);
  nap(100);
  CHECK(atomic_load(&refused) == 0);

  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  pthread_t other = start_thread(echo, &pair[1]);
  for (int i = 0; i < 1000; ++i) {
    char byte = (char)i;
    CHECK(write(pair[0], &byte, 1) == 1 && read(pair[0], &byte, 1) == 1 && byte == (char)i);
  }
  CHECK(close(pair[0]) == 0);
  join_thread(other);
  CHECK(close(listener) == 0);
  for (int i = 0; i < CONNECTIONS; ++i) join_thread(threads[i]);
  SAY("%d refused", atomic_load(&refused));
  return 0;
}
