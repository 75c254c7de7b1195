// CPU time is a thread's own: CLOCK_THREAD_CPUTIME_ID, pthread_getcpuclockid(3), getrusage(RUSAGE_THREAD),
// clock_nanosleep(2) on another thread's clock, however many threads take turns.
#include "check.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { kBurners = 8 };

static int64_t read_clock(clockid_t clock) {
  struct timespec time = clock_now(clock);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}
static int64_t own(void) {
  return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
static const int64_t kMillisecond = 1000000;

static void burn(int64_t nanoseconds, int yielding) {
  int64_t until = own() + nanoseconds;
  while (own() < until) {
    if (yielding) sched_yield();
  }
}

static volatile int stop;
static clockid_t clock_of(pthread_t thread) {
  clockid_t clock;
  CHECK(pthread_getcpuclockid(thread, &clock) == 0);
  return clock;
}

static void* sleeps(void* unused) {
  (void)unused;
  int64_t before = own();
  while (!stop) nap(5);
  return number_pointer((own() - before) / 1000);
}
static void* waits_in_the_kernel(void* unused) {
  (void)unused;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int number;
  CHECK(sigwait(&set, &number) == 0);
  return number_pointer(own() / 1000);
}

static int64_t used[kBurners];
static void* burns(void* slot) {
  int64_t before = own();
  burn(30 * kMillisecond, 1);
  *(int64_t*)slot = own() - before;
  return NULL;
}

static void* computes(void* unused) {
  (void)unused;
  while (!stop) {
  }
  return NULL;
}

// The first question comes late: what was used before it is not lost, and a waiting thread has used little.
static void questions_from_main(void) {
  stop = 0;
  int64_t start = read_clock(CLOCK_PROCESS_CPUTIME_ID), process;
  pthread_t busy = start_thread(computes, NULL), asleep = start_thread(sleeps, NULL);
  pthread_t blocked = start_thread(waits_in_the_kernel, NULL);
  do {
    nap(20);
    process = read_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
  } while (process < 60 * kMillisecond);
  int64_t busy_time = read_clock(clock_of(busy));
  CHECK(busy_time > process / 3);
  CHECK(read_clock(clock_of(asleep)) < busy_time / 2);
  CHECK(read_clock(clock_of(blocked)) < busy_time / 2);
  int64_t before = busy_time;
  for (int i = 0; i < 1000; ++i) {
    int64_t now = read_clock(clock_of(busy));
    CHECK(now >= before);
    before = now;
  }
  struct timespec later = {0, 20 * kMillisecond};
  before = read_clock(clock_of(busy));
  CHECK(clock_nanosleep(clock_of(busy), 0, &later, NULL) == 0);
  CHECK(read_clock(clock_of(busy)) >= before + 20 * kMillisecond);
  CHECK(clock_nanosleep(clock_of(asleep), TIMER_ABSTIME, &(struct timespec){0, 1}, NULL) == 0);
  stop = 1;
  join_thread(busy);
  CHECK((intptr_t)join_thread(asleep) < 50000);
  CHECK(pthread_kill(blocked, SIGUSR1) == 0);
  CHECK((intptr_t)join_thread(blocked) < 50000);
  SAY("others' clocks");
}

static void* looks_at_itself(void* unused) {
  (void)unused;
  clockid_t mine = clock_of(pthread_self());
  int64_t first = own(), second = read_clock(mine), third = own();
  CHECK(first <= second && second <= third && first >= 0);
  CHECK(first < 1000 * kMillisecond);
  struct timespec time = {0, 0};
  CHECK(clock_getres(mine, &time) == 0 && time.tv_sec == 0 && time.tv_nsec == 1);
  CHECK_ERRNO(clock_settime(mine, &time), EPERM);
  CHECK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL) == EINVAL);
  CHECK(clock_nanosleep(mine, 0, &time, NULL) == EINVAL);
  CHECK(syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  CHECK(syscall(SYS_clock_gettime, mine, &time) == 0);

  struct rusage before, after;
  CHECK(getrusage(RUSAGE_THREAD, &before) == 0);
  int64_t clock_before = own();
  burn(20 * kMillisecond, 0);
  for (int i = 0; i < 10; ++i) nap(1);
  CHECK(getrusage(RUSAGE_THREAD, &after) == 0);
  int64_t clock_after = own();
  int64_t user = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec -
                 before.ru_utime.tv_usec;
  int64_t system = (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 + after.ru_stime.tv_usec -
                   before.ru_stime.tv_usec;
  CHECK(user >= 0 && system >= 0 && user + system >= 15000);
  CHECK(user + system <= (clock_after - clock_before) / 1000 + 5000);
  CHECK(after.ru_nvcsw >= before.ru_nvcsw + 10 && after.ru_minflt >= before.ru_minflt && after.ru_maxrss > 0);
  return NULL;
}

int main(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  questions_from_main();

  pthread_t one = start_thread(looks_at_itself, NULL);
  join_thread(one);
  SAY("own clock");

  int64_t process = read_clock(CLOCK_PROCESS_CPUTIME_ID), sum = 0;
  pthread_t threads[kBurners];
  for (int i = 0; i < kBurners; ++i) threads[i] = start_thread(burns, &used[i]);
  for (int i = 0; i < kBurners; ++i) join_thread(threads[i]);
  process = read_clock(CLOCK_PROCESS_CPUTIME_ID) - process;
  for (int i = 0; i < kBurners; ++i) {
    CHECK(used[i] >= 30 * kMillisecond && used[i] < 60 * kMillisecond);
    sum += used[i];
  }
  CHECK(sum <= process);
  SAY("%d threads take turns", kBurners);

  // Of a thread that is no more there is no clock (it may take the kernel a moment to forget it).
  stop = 0;
  one = start_thread(sleeps, NULL);
  clockid_t clock = clock_of(one);
  stop = 1;
  join_thread(one);
  struct timespec time;
  for (int i = 0; i < 1000 && clock_gettime(clock, &time) == 0; ++i) nap(1);
  CHECK_ERRNO(clock_gettime(clock, &time), EINVAL);
  SAY("done");
  return 0;
}
