// A ring of 300 pipes, a thread between each and the next: a token goes round.
#include "check.h"

enum { threads = 300, laps = 3 };

static int ends[threads][2];

static void* pass_on(void* argument) {
  int own = (int)(intptr_t)argument;
  for (int lap = 0; lap < laps; ++lap) {
    int token;
    CHECK(read(ends[own][0], &token, sizeof token) == sizeof token);
    ++token;
    CHECK(write(ends[(own + 1) % threads][1], &token, sizeof token) == sizeof token);
  }
  return NULL;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) CHECK(pipe(ends[i]) == 0);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(pass_on, number_pointer(i));
  nap(100);  // all are alive
  int token = 0;
  CHECK(write(ends[0][1], &token, sizeof token) == sizeof token);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  CHECK(read(ends[0][0], &token, sizeof token) == sizeof token);
  SAY("token %d", token);
  return 0;
}
