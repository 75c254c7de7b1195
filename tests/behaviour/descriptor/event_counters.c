// eventfd(2): read blocks at 0, EFD_SEMAPHORE counts down, write blocks at the maximum; timerfd(2): read
// blocks until the timer has expired and gives the number of times.
#include "check.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>

static int descriptor;

static void* write_one_late(void* argument) {
  nap(20);
  CHECK(eventfd_write(descriptor, 1) == 0);
  return argument;
}

static void* read_late(void* argument) {
  eventfd_t value;
  nap(20);
  CHECK(eventfd_read(descriptor, &value) == 0 && value == UINT64_MAX - 1);
  return argument;
}

static void events(void) {
  eventfd_t value;
  CHECK((descriptor = eventfd(0, 0)) >= 0);
  pthread_t thread = start_thread(write_one_late, NULL);
  CHECK(eventfd_read(descriptor, &value) == 0 && value == 1);
  join_thread(thread);
  CHECK(eventfd_write(descriptor, UINT64_MAX - 1) == 0);
  thread = start_thread(read_late, NULL);
  value = 5;
  CHECK(write(descriptor, &value, sizeof value) == sizeof value && "waited for room");
  join_thread(thread);
  CHECK(eventfd_read(descriptor, &value) == 0 && value == 5);
  CHECK_ERRNO(read(descriptor, &value, 4), EINVAL);
  CHECK(close(descriptor) == 0);
  CHECK((descriptor = eventfd(2, EFD_SEMAPHORE)) >= 0);
  thread = start_thread(write_one_late, NULL);
  for (int i = 0; i < 3; ++i) CHECK(eventfd_read(descriptor, &value) == 0 && value == 1);
  join_thread(thread);
  CHECK(close(descriptor) == 0);
}

static void timers(void) {
  uint64_t expirations = 0, total = 0;
  CHECK((descriptor = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0);
  struct itimerspec times = {milliseconds(10), milliseconds(20)};
  struct timespec earliest = clock_after(CLOCK_MONOTONIC, 60);
  CHECK(timerfd_settime(descriptor, 0, &times, NULL) == 0);
  while (total < 5) {
    CHECK(read(descriptor, &expirations, sizeof expirations) == sizeof expirations && expirations >= 1);
    total += expirations;
  }
  CHECK(clock_reached(CLOCK_MONOTONIC, earliest));
  CHECK(close(descriptor) == 0);
}

static void* all(void* argument) {
  events();
  timers();
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
