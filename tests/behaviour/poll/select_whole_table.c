// select(getdtablesize(), ...) with sets of FD_SETSIZE bits, as many old programs have it: the kernel looks
// at no more bits than its table of descriptors has room for. And sets that are really larger than that.
#include "check.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/select.h>

static struct {
  fd_set set;
  unsigned char behind[8192];
} small;

static int untouched(void) {
  for (size_t i = 0; i < sizeof(small.behind); ++i) {
    if (small.behind[i] != 0xff) return 0;
  }
  return 1;
}

static int select_small(int with_mask, int fd, long wait) {
  struct timeval time = {0, wait * 1000};
  struct timespec precise = milliseconds(wait);
  memset(small.behind, 0xff, sizeof(small.behind));
  FD_ZERO(&small.set);
  FD_SET(fd, &small.set);
  int result = with_mask ? pselect(getdtablesize(), &small.set, NULL, NULL, &precise, NULL)
                         : select(getdtablesize(), &small.set, NULL, NULL, &time);
  CHECK(untouched());
  CHECK(result < 0 || FD_ISSET(fd, &small.set) == result);
  return result;
}

static void* change(void* fd) {
  nap(30);
  memset(small.behind + 4096, 0xff, 4096);  // another thread's, which the waiting one must not put back
  CHECK(write(*(int*)fd, "x", 1) == 1);
  return NULL;
}

static void* small_sets(void* unused) {
  (void)unused;
  for (int with_mask = 0; with_mask < 2; ++with_mask) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(select_small(with_mask, ends[0], 5) == 0);
    pthread_t thread = start_thread(change, &ends[1]);
    CHECK(select_small(with_mask, ends[0], 60000) == 1);
    join_thread(thread);
    CHECK(select_small(with_mask, ends[0], 0) == 1);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  }
  return NULL;
}

// As Linux allows it: sets of as many bits as one likes.
enum { large = 4096, high = 3000 };
static unsigned long bits[large / 64];

static void* large_sets(void* unused) {
  (void)unused;
  int ends[2];
  CHECK(pipe(ends) == 0 && dup2(ends[0], high) == high);
  for (int count = high + 1; count <= large; count += large - high - 1) {
    memset(bits, 0, sizeof(bits));
    bits[high / 64] = 1ul << (high % 64);
    struct timeval time = {0, 5000};
    CHECK(select(count, (fd_set*)bits, NULL, NULL, &time) == 0 && bits[high / 64] == 0);
    bits[high / 64] = 1ul << (high % 64);
    pthread_t thread = start_thread(change, &ends[1]);
    CHECK(select(count, (fd_set*)bits, NULL, NULL, NULL) == 1 && bits[high / 64] == 1ul << (high % 64));
    join_thread(thread);
    char byte;
    CHECK(read(high, &byte, 1) == 1);
  }
  CHECK(close(high) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
  return NULL;
}

int main(void) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_max < large) return 77;
  limit.rlim_cur = limit.rlim_max < 30000 ? limit.rlim_max : 30000;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  join_thread(start_thread(small_sets, NULL));
  small_sets(NULL);
  SAY("sets of FD_SETSIZE bits");
  join_thread(start_thread(large_sets, NULL));
  large_sets(NULL);
  SAY("larger sets");
  return 0;
}
