// What every behaviour program uses: a check that ends the program, and a few lines that would otherwise be
// in each of them. Include it first: it asks for the GNU declarations.
#ifndef TESTS_BEHAVIOUR_SUPPORT_CHECK_H_
#define TESTS_BEHAVIOUR_SUPPORT_CHECK_H_

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// _exit and not exit: a failed check may stand in a forked child or with locks held.
__attribute__((noreturn, cold)) static inline void check_failed(const char* file, int line,
                                                                const char* expression) {
  int code = errno;
  dprintf(STDERR_FILENO, "%s:%d: %s (errno %d, %s)\n", file, line, expression, code, strerror(code));
  _exit(1);
}

#define CHECK(expression) ((expression) ? (void)0 : check_failed(__FILE__, __LINE__, #expression))

// A call that must return -1 with this errno.
#define CHECK_ERRNO(call, expected) \
  (errno = 0, CHECK((call) == -1 && errno == (expected) && "fails with " #expected))

// One line of the transcript, which has to be the same in every run.
#define SAY(...) (printf(__VA_ARGS__), printf("\n"), fflush(stdout))

static inline pthread_t start_thread(void* (*routine)(void*), void* argument) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, routine, argument) == 0);
  return thread;
}

static inline void* join_thread(pthread_t thread) {
  void* result = NULL;
  CHECK(pthread_join(thread, &result) == 0);
  return result;
}

static inline void* number_pointer(intptr_t number) {
  return (void*)number;
}

static inline struct timespec milliseconds(long count) {
  struct timespec time = {count / 1000, count % 1000 * 1000000};
  return time;
}

static inline void nap(long count) {
  struct timespec time = milliseconds(count);
  while (nanosleep(&time, &time) == -1) CHECK(errno == EINTR);
}

static inline struct timespec clock_now(clockid_t clock) {
  struct timespec time;
  CHECK(clock_gettime(clock, &time) == 0);
  return time;
}

static inline struct timespec clock_after(clockid_t clock, long count) {
  struct timespec time = clock_now(clock);
  time.tv_sec += count / 1000;
  time.tv_nsec += count % 1000 * 1000000;
  if (time.tv_nsec >= 1000000000) {
    time.tv_sec += 1;
    time.tv_nsec -= 1000000000;
  }
  return time;
}

// True when the clock has reached a time: what a timed call promises before it reports a time-out.
static inline int clock_reached(clockid_t clock, struct timespec time) {
  struct timespec now = clock_now(clock);
  return now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec);
}

#endif
