// open(2), POSIX 2.14: a new descriptor is the lowest number free, also when threads exist and have done I/O.
#include "check.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static int ends[2];

static void* block_and_sleep(void* argument) {
  char byte;
  nap(5);
  CHECK(recv(ends[0], &byte, 1, 0) == 1);
  return argument;
}

static void* open_in_order(void* argument) {
  int found[8], first = *(int*)argument;
  CHECK((found[0] = socket(AF_INET, SOCK_STREAM, 0)) == first);
  CHECK((found[1] = open("/dev/null", O_RDONLY)) == first + 1);
  CHECK(pipe(&found[2]) == 0 && found[2] == first + 2 && found[3] == first + 3);
  CHECK((found[4] = eventfd(0, 0)) == first + 4);
  CHECK((found[5] = epoll_create1(0)) == first + 5);
  CHECK((found[6] = dup(0)) == first + 6);
  CHECK(close(found[2]) == 0 && (found[2] = dup(0)) == first + 2);
  CHECK((found[7] = dup(0)) == first + 7);
  for (int i = 0; i < 8; ++i) CHECK(close(found[i]) == 0);
  return NULL;
}

int main(void) {
  int first = 3;
  open_in_order(&first);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && ends[0] == 3 && ends[1] == 4);
  pthread_t blocked[5];
  for (int i = 0; i < 5; ++i) blocked[i] = start_thread(block_and_sleep, NULL);
  nap(20);
  first = 5;
  open_in_order(&first);
  SAY("in main");
  join_thread(start_thread(open_in_order, &first));
  SAY("in a thread");
  for (int i = 0; i < 5; ++i) CHECK(write(ends[1], "x", 1) == 1);
  for (int i = 0; i < 5; ++i) join_thread(blocked[i]);
  return 0;
}
