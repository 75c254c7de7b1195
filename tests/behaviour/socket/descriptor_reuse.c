// A closed descriptor's number comes back as something else at once: whoever blocks on the new one is woken
// by the new one alone, in many rounds and several threads.
#include "loopback.h"

#include <poll.h>
#include <sys/eventfd.h>

enum { threads = 8, rounds = 300 };

struct Sender {
  int descriptor, kind;
};

static void* send_late(void* argument) {
  const struct Sender* sender = (const struct Sender*)argument;
  uint64_t value = 1;
  if (sender->kind % 3 == 0) nap(1);
  CHECK(write(sender->descriptor, &value, sizeof value) == sizeof value);
  return NULL;
}

static void open_kind(int kind, int ends[2]) {
  if (kind == 0) {
    CHECK(pipe(ends) == 0);
  } else if (kind == 1) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  } else {
    CHECK((ends[0] = eventfd(0, 0)) >= 0 && (ends[1] = dup(ends[0])) >= 0);
  }
}

static void* open_block_close(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    open_kind((round + (int)(intptr_t)argument) % 3, ends);
    struct Sender sender = {ends[1], round};
    pthread_t thread = start_thread(send_late, &sender);
    uint64_t value = 0;
    if (round % 2 == 0) {
      struct pollfd wait = {ends[0], POLLIN, 0};
      CHECK(poll(&wait, 1, 60000) == 1 && wait.revents == POLLIN);
    }
    CHECK(read(ends[0], &value, sizeof value) == sizeof value && value == 1);
    join_thread(thread);
    if (round % 5 == 0) CHECK(write(ends[1], &value, sizeof value) == sizeof value);  // left unread
    CHECK(close(ends[round % 2]) == 0 && close(ends[1 - round % 2]) == 0);
  }
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(open_block_close, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("%d threads, %d rounds", threads, rounds);
  return 0;
}
