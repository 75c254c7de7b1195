// pthread_self(3), pthread_equal(3), gettid(2): distinct among the threads alive, the same for a thread's
// whole life.
#include "check.h"

enum { threads = 200 };

struct Identity {
  pthread_t created, self;
  pid_t tid;
};

static struct Identity identity[threads];
static pthread_barrier_t all_alive;

static void* look_at_oneself(void* argument) {
  struct Identity* own = (struct Identity*)argument;
  own->self = pthread_self();
  own->tid = gettid();
  pthread_barrier_wait(&all_alive);
  for (int round = 0; round < 3; ++round) {
    nap(30);  // the thread may continue elsewhere
    CHECK(pthread_equal(own->self, pthread_self()));
    CHECK(own->tid == gettid());
  }
  pthread_barrier_wait(&all_alive);
  return NULL;
}

static void compare_all(void) {
  for (int i = 0; i < threads; ++i) {
    CHECK(pthread_equal(identity[i].created, identity[i].self));
    CHECK(identity[i].tid > 0 && identity[i].tid != getpid());
    CHECK(!pthread_equal(identity[i].self, pthread_self()));
    for (int other = 0; other < i; ++other) {
      CHECK(!pthread_equal(identity[i].self, identity[other].self));
      CHECK(identity[i].tid != identity[other].tid);
    }
  }
}

int main(void) {
  CHECK(gettid() == getpid());
  CHECK(pthread_barrier_init(&all_alive, NULL, threads + 1) == 0);
  for (int i = 0; i < threads; ++i) identity[i].created = start_thread(look_at_oneself, &identity[i]);
  pthread_barrier_wait(&all_alive);
  compare_all();
  pthread_barrier_wait(&all_alive);
  for (int i = 0; i < threads; ++i) join_thread(identity[i].created);
  CHECK(gettid() == getpid());
  SAY("%d threads, all different", threads);
  return 0;
}
