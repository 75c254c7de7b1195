// Returning from main ends the process with that status, whatever the other threads do.
#include "check.h"

#include <sys/socket.h>

static void* sleep_long(void* argument) {
  nap(1000000);
  return argument;
}

static void* block_in_recv(void* argument) {
  char byte;
  recv(*(int*)argument, &byte, 1, 0);
  return argument;
}

static void at_exit(void) {
  printf("atexit function\n");
}

int main(void) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  CHECK(atexit(at_exit) == 0);
  for (int i = 0; i < 50; ++i) start_thread(sleep_long, NULL);
  for (int i = 0; i < 50; ++i) start_thread(block_in_recv, &ends[0]);
  nap(20);
  printf("main returns\n");
  return 5;
}
