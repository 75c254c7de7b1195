// 400 unix stream connections with a thread at either end; half of the threads use read and write, half the
// others recvfrom and sendto, and each end blocks for the other.
#include "loopback.h"

enum { pairs = 200, rounds = 20 };

static pthread_barrier_t all_alive;

static void* bounce(void* argument) {
  int descriptor = (int)(intptr_t)argument, plain = descriptor % 2;
  pthread_barrier_wait(&all_alive);
  for (;;) {
    unsigned char turn;
    ssize_t count = plain ? read(descriptor, &turn, 1) : recvfrom(descriptor, &turn, 1, 0, NULL, NULL);
    if (count == 0) break;
    CHECK(count == 1);
    if (turn == rounds) break;
    if (turn == 0) nap(100);
    ++turn;
    CHECK((plain ? write(descriptor, &turn, 1) : sendto(descriptor, &turn, 1, 0, NULL, 0)) == 1);
  }
  CHECK(close(descriptor) == 0);
  return NULL;
}

int main(void) {
  pthread_t thread[2 * pairs];
  CHECK(pthread_barrier_init(&all_alive, NULL, 2 * pairs + 1) == 0);
  int starter[pairs];
  for (int i = 0; i < pairs; ++i) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    starter[i] = ends[0];
    for (int side = 0; side < 2; ++side)
      thread[2 * i + side] = start_thread(bounce, number_pointer(ends[side]));
  }
  pthread_barrier_wait(&all_alive);
  for (int i = 0; i < pairs; ++i) CHECK(send(starter[i], "", 1, 0) == 1);
  for (int i = 0; i < 2 * pairs; ++i) join_thread(thread[i]);
  SAY("%d pairs, %d rounds", pairs, rounds);
  return 0;
}
