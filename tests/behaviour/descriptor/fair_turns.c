// Several threads blocked in read on one pipe, and several in recv on one socket: each record wakes one, none
// starves.
#include "check.h"

#include <sys/socket.h>

#define THREADS 8
#define RECORDS 4000

static int descriptors[2];
static int served[THREADS];

static void* take(void* argument) {
  char record[16];
  for (;;) {
    ssize_t count = recv(descriptors[1], record, sizeof record, 0);
    CHECK(count >= 0);
    if (count == 0 || record[0] == 'q') return NULL;
    CHECK(count == 16 && record[0] == 'r');
    ++served[(intptr_t)argument];
    sched_yield();
  }
}

int main(void) {
  pthread_t threads[THREADS];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, descriptors) == 0);
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(take, number_pointer(i));
  nap(50);
  char record[16] = "r";
  for (int i = 0; i < RECORDS; ++i) {
    CHECK(send(descriptors[0], record, sizeof record, 0) == sizeof record);
    if (i % 16 == 0) nap(1);
  }
  record[0] = 'q';
  for (int i = 0; i < THREADS; ++i) CHECK(send(descriptors[0], record, sizeof record, 0) == sizeof record);
  int total = 0, least = RECORDS;
  for (int i = 0; i < THREADS; ++i) {
    join_thread(threads[i]);
    total += served[i];
    if (served[i] < least) least = served[i];
  }
  CHECK(total == RECORDS && least > 0);
  SAY("%d records, everybody got some", total);
  return 0;
}
