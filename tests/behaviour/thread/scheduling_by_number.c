// sched_getattr(2), sched_setattr(2), ioprio_set(2) and the like by syscall(2), as libc has no functions for
// some of them, with a thread's own tid, with 0 and with another thread's: each thread has its own, and gives
// it to those that it creates.
#include "check.h"
//
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
enum { kBatch = 3, kBestEffort = 2 << 13 };

static int own_tid(void) {
  return (int)syscall(SYS_gettid);
}

static struct attributes attributes_of(int tid) {
  struct attributes found;
  memset(&found, 0xff, sizeof(found));
  CHECK(syscall(SYS_sched_getattr, tid, &found, sizeof(found), 0) == 0);
  CHECK(found.size == sizeof(found));
  return found;
}

static void expect(int tid, int policy, int nice, int io_priority) {
  struct attributes found = attributes_of(tid);
  CHECK(found.policy == (uint32_t)policy && found.nice == nice && found.priority == 0);
  CHECK(syscall(SYS_sched_getscheduler, tid) == policy);
  CHECK(syscall(SYS_getpriority, PRIO_PROCESS, tid) == 20 - nice);
  CHECK(syscall(SYS_ioprio_get, 1, tid) == io_priority);
}

static void* created(void* unused) {
  expect(0, kBatch, 7, kBestEffort + 6);
  return unused;
}

// What GLib's pools do: take one thread's settings and give them to others.
static void* changes_itself(void* unused) {
  int tid = own_tid();
  struct attributes settings = attributes_of(tid);
  CHECK(syscall(SYS_sched_setattr, tid, &settings, 0) == 0);
  settings.policy = kBatch;
  settings.nice = 7;
  CHECK(syscall(SYS_sched_setattr, 0, &settings, 0) == 0);
  CHECK(syscall(SYS_ioprio_set, 1, tid, kBestEffort + 6) == 0);
  nap(2);
  expect(0, kBatch, 7, kBestEffort + 6);
  expect(tid, kBatch, 7, kBestEffort + 6);
  join_thread(start_thread(created, NULL));
  return unused;
}

static int waiting_tid, io_priority_of_main;
static pthread_barrier_t barrier;

static void* is_changed(void* unused) {
  waiting_tid = own_tid();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  expect(0, SCHED_OTHER, 3, io_priority_of_main);
  return unused;
}

static void* sees_nothing(void* unused) {
  expect(own_tid(), SCHED_OTHER, 0, io_priority_of_main);
  return unused;
}

int main(void) {
  CHECK(setpriority(PRIO_PROCESS, 0, 0) == 0 || errno == EACCES);
  io_priority_of_main = (int)syscall(SYS_ioprio_get, 1, 0);
  join_thread(start_thread(changes_itself, NULL));
  CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
  pthread_t thread = start_thread(is_changed, NULL);
  pthread_barrier_wait(&barrier);
  CHECK(syscall(SYS_setpriority, PRIO_PROCESS, waiting_tid, 3) == 0);
  CHECK(attributes_of(waiting_tid).nice == 3);
  pthread_barrier_wait(&barrier);
  join_thread(thread);
  join_thread(start_thread(sees_nothing, NULL));
  expect(0, SCHED_OTHER, 0, io_priority_of_main);
  struct attributes settings = attributes_of(0);
  CHECK_ERRNO(syscall(SYS_sched_setattr, 1 << 28, &settings, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
  SAY("each thread has its own");
  return 0;
}
