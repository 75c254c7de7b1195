// sleep(3), usleep(3), nanosleep(2), clock_nanosleep(2): at least as long as asked, EINVAL, absolute times.
#include "check.h"

static void at_least(struct timespec earliest) {
  CHECK(clock_reached(CLOCK_MONOTONIC, earliest));
}

static void* call_all(void* argument) {
  struct timespec end = clock_after(CLOCK_MONOTONIC, 1000);
  CHECK(sleep(1) == 0);
  at_least(end);
  end = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(usleep(20000) == 0);
  at_least(end);
  end = clock_after(CLOCK_MONOTONIC, 20);
  struct timespec time = milliseconds(20);
  CHECK(nanosleep(&time, NULL) == 0);
  at_least(end);
  end = clock_after(CLOCK_MONOTONIC, 20);
  CHECK(clock_nanosleep(CLOCK_REALTIME, 0, &time, NULL) == 0);
  at_least(end);
  const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
  for (int i = 0; i < 3; ++i) {
    time = clock_after(clocks[i], 20);
    CHECK(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL) == 0);
    CHECK(clock_reached(clocks[i], time));
    time = clock_after(clocks[i], -100000);
    CHECK(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL) == 0);
  }
  struct timespec zero = {0, 0}, bad = {0, 1000000000}, negative = {-1, 0};
  CHECK(nanosleep(&zero, NULL) == 0 && sleep(0) == 0 && usleep(0) == 0);
  CHECK_ERRNO(nanosleep(&bad, NULL), EINVAL);
  CHECK_ERRNO(nanosleep(&negative, NULL), EINVAL);
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL) == EINVAL);
  CHECK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &zero, NULL) == EINVAL);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  call_all("main");
  join_thread(start_thread(call_all, "a thread"));
  return 0;
}
