// Threads that are to stay kernel threads are what any thread natively is: the kernel knows their number, and
// one that has its name from pthread_setname_np(3) is at every moment the same kernel thread.
#include "check.h"

#include <sys/syscall.h>

enum { kOthers = 50, kRounds = 200 };

// Not through libc's syscall(): what the kernel says.
static long kernel_tid(void) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"((long)SYS_gettid) : "rcx", "r11", "memory");
  return result;
}

static void* stay_native(void* argument) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", gettid());
  CHECK(access(path, R_OK) == 0);
  nap(2);
  CHECK(kernel_tid() == gettid());
  return argument;
}

static void* others_nap(void* argument) {
  for (int round = 0; round < kRounds; ++round) {
    struct timespec time = {0, 100000};
    nanosleep(&time, NULL);
  }
  return argument;
}

static void* named(void* argument) {
  CHECK(pthread_setname_np(pthread_self(), "stay_bound") == 0);
  nap(1);
  long first = kernel_tid();
  for (int round = 0; round < kRounds; ++round) {
    struct timespec time = {0, 100000};
    nanosleep(&time, NULL);
    CHECK(kernel_tid() == first);
    sched_yield();
    CHECK(kernel_tid() == first);
  }
  return argument;
}

int main(void) {
  pthread_t others[kOthers];
  for (int i = 0; i < kOthers; ++i) others[i] = start_thread(others_nap, NULL);
  pthread_t by_name = start_thread(named, number_pointer(2));
  CHECK(join_thread(start_thread(stay_native, number_pointer(1))) == number_pointer(1));
  CHECK(join_thread(by_name) == number_pointer(2));
  for (int i = 0; i < kOthers; ++i) join_thread(others[i]);
  SAY("native by start routine, bound by name");
  return 0;
}
