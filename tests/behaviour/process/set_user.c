// setuid(2) and its like, called by a thread, change the whole process (nptl(7)): all threads see it, whether
// they run, block or are created later. Skipped (77) without privilege.
#include "check.h"

#include <grp.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define NOBODY 65534
#define THREADS 40

static int pair[2];
static atomic_int over;

static void* blocked(void* argument) {
  char byte;
  CHECK(read(pair[0], &byte, 1) == 1);
  CHECK(geteuid() == NOBODY && getegid() == NOBODY && getuid() == NOBODY);
  return argument;
}

static void* running(void* argument) {
  while (!atomic_load(&over)) continue;
  CHECK(geteuid() == NOBODY && getegid() == NOBODY);
  return argument;
}

static void* change(void* argument) {
  for (int i = 0; i < 20; ++i) {
    CHECK(seteuid(NOBODY) == 0 && geteuid() == NOBODY);
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    CHECK(seteuid(0) == 0 && geteuid() == 0);
  }
  CHECK(setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 && setuid(NOBODY) == 0);
  CHECK_ERRNO(setuid(0), EPERM);
  return argument;
}

int main(void) {
  pthread_t threads[THREADS + 2];
  if (geteuid() != 0 || setresuid(0, 0, 0) != 0) return 77;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(blocked, NULL);
  for (int i = 0; i < 2; ++i) threads[THREADS + i] = start_thread(running, NULL);
  nap(20);
  join_thread(start_thread(change, NULL));
  CHECK(geteuid() == NOBODY && setuid(NOBODY) == 0);
  atomic_store(&over, 1);
  for (int i = 0; i < THREADS; ++i) CHECK(write(pair[1], "x", 1) == 1);
  for (int i = 0; i < THREADS + 2; ++i) join_thread(threads[i]);
  SAY("uid %d", (int)getuid());
  return 0;
}
