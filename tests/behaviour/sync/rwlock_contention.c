// 180 readers and 20 writers: a reader never sees a half-written pair, with both preferences.
#include "check.h"

enum { readers = 180, writers = 20, rounds = 50 };

static pthread_rwlock_t lock;
static long first, second;

static void* read_pairs(void* argument) {
  nap(100);  // all are alive
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_rwlock_rdlock(&lock) == 0);
    long seen = first;
    if (round % 10 == 0) nap(1);
    CHECK(seen == first && seen == second);
    CHECK(pthread_rwlock_unlock(&lock) == 0);
  }
  return argument;
}

static void* write_pairs(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    CHECK(pthread_rwlock_wrlock(&lock) == 0);
    ++first;
    if (round % 10 == 0) nap(1);
    ++second;
    CHECK(pthread_rwlock_unlock(&lock) == 0);
  }
  return argument;
}

static void run(int kind) {
  pthread_rwlockattr_t attributes;
  pthread_t thread[readers + writers];
  CHECK(pthread_rwlockattr_init(&attributes) == 0);
  CHECK(pthread_rwlockattr_setkind_np(&attributes, kind) == 0);
  CHECK(pthread_rwlock_init(&lock, &attributes) == 0);
  first = second = 0;
  for (int i = 0; i < readers + writers; ++i) {
    thread[i] = start_thread(i % 10 == 0 ? write_pairs : read_pairs, NULL);
  }
  for (int i = 0; i < readers + writers; ++i) join_thread(thread[i]);
  CHECK(pthread_rwlock_destroy(&lock) == 0);
  SAY("%ld written", first);
}

int main(void) {
  run(PTHREAD_RWLOCK_PREFER_READER_NP);
  run(PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  return 0;
}
