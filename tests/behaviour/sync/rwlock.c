// pthread_rwlock_*(3p): readers together, writers alone, EBUSY, EDEADLK, ETIMEDOUT.
#include "check.h"

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t together;

static void* read_together(void* argument) {
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  pthread_barrier_wait(&together);  // would never be left if readers excluded each other
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  return argument;
}

static void* fail_against_reader(void* argument) {
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_tryrdlock(&lock) == 0);
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  CHECK(pthread_rwlock_timedwrlock(&lock, &time) == ETIMEDOUT && clock_reached(CLOCK_REALTIME, time));
  time = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(pthread_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  CHECK(clock_reached(CLOCK_MONOTONIC, time));
  return argument;
}

static void* fail_against_writer(void* argument) {
  CHECK(pthread_rwlock_trywrlock(&lock) == EBUSY);
  CHECK(pthread_rwlock_tryrdlock(&lock) == EBUSY);
  struct timespec time = clock_after(CLOCK_REALTIME, 20);
  CHECK(pthread_rwlock_timedrdlock(&lock, &time) == ETIMEDOUT && clock_reached(CLOCK_REALTIME, time));
  time = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(pthread_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &time) == ETIMEDOUT);
  time.tv_nsec = 1000000000;
  CHECK(pthread_rwlock_timedrdlock(&lock, &time) == EINVAL);
  return argument;
}

static void* hold(void* argument) {
  CHECK(pthread_rwlock_wrlock(&lock) == 0);
  CHECK(pthread_rwlock_wrlock(&lock) == EDEADLK);
  CHECK(pthread_rwlock_rdlock(&lock) == EDEADLK);
  join_thread(start_thread(fail_against_writer, NULL));
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  CHECK(pthread_rwlock_rdlock(&lock) == 0);
  join_thread(start_thread(fail_against_reader, NULL));
  CHECK(pthread_rwlock_unlock(&lock) == 0);
  SAY("%s holds", (const char*)argument);
  return NULL;
}

int main(void) {
  CHECK(pthread_barrier_init(&together, NULL, 11) == 0);
  pthread_t reader[10];
  for (int i = 0; i < 10; ++i) reader[i] = start_thread(read_together, NULL);
  read_together(NULL);
  for (int i = 0; i < 10; ++i) join_thread(reader[i]);
  SAY("11 readers together");
  hold("main");
  join_thread(start_thread(hold, "a thread"));
  CHECK(pthread_rwlock_destroy(&lock) == 0);
  return 0;
}
