// Each call that makes a file larger than RLIMIT_FSIZE allows: EFBIG, and SIGXFSZ is pending for the thread
// that made the call and blocks it. Nobody else sees it: natively it would be the end of the process.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { limit = 8192, threads = 6, rounds = 3 };

static char name[] = "/tmp/file_size_signal.XXXXXX";
static int file, source;
static pthread_barrier_t meet;

enum way {
  writes,
  writes_vector,
  writes_at,
  writes_vector_at,
  writes_vector_with_flags,
  truncates,
  truncates_by_name,
  allocates,
  allocates_posix,
  copies,
  sends,
  splices,
  ways
};

static long call(enum way way) {
  char bytes[4] = "abc";
  struct iovec vector = {bytes, sizeof(bytes)};
  off64_t beyond = limit, start = 0;
  int ends[2];
  long result;
  switch (way) {
    case writes:
      return write(file, bytes, sizeof(bytes));
    case writes_vector:
      return writev(file, &vector, 1);
    case writes_at:
      return pwrite(file, bytes, sizeof(bytes), limit);
    case writes_vector_at:
      return pwritev(file, &vector, 1, limit);
    case writes_vector_with_flags:
      return pwritev2(file, &vector, 1, limit, 0);
    case truncates:
      return ftruncate(file, limit + 1);
    case truncates_by_name:
      return truncate(name, limit + 1);
    case allocates:
      return fallocate(file, 0, limit, 1);
    case allocates_posix:
      errno = posix_fallocate(file, limit, 1);
      return errno == 0 ? 0 : -1;
    case copies:
      return copy_file_range(source, &start, file, &beyond, 100, 0);
    case sends:
      return sendfile(file, source, &start, 100);
    default:
      CHECK(pipe(ends) == 0 && write(ends[1], bytes, sizeof(bytes)) == sizeof(bytes));
      result = splice(ends[0], NULL, file, &beyond, sizeof(bytes), 0);
      int error = errno;
      close(ends[0]);
      close(ends[1]);
      errno = error;
      return result;
  }
}

static sigset_t the_signal(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGXFSZ);
  return set;
}

static int is_pending(void) {
  sigset_t set;
  CHECK(sigpending(&set) == 0);
  return sigismember(&set, SIGXFSZ);
}

// What natively happens in this kernel: not every call sends the signal.
static int error_of[ways], signals[ways];

static void find_out(void) {
  sigset_t set = the_signal();
  const struct timespec at_once = {0, 0};
  for (enum way way = 0; way < ways; ++way) {
    errno = 0;
    CHECK(call(way) == -1);
    error_of[way] = errno;
    signals[way] = is_pending();
    if (signals[way]) CHECK(sigtimedwait(&set, NULL, &at_once) == SIGXFSZ);
  }
}

static void* go_beyond(void* number) {
  sigset_t set = the_signal();
  const struct timespec at_once = {0, 0};
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  pthread_barrier_wait(&meet);
  for (int i = 0; i < rounds * ways; ++i) {
    enum way way = (enum way)((i + (int)(intptr_t)number * 2) % ways);
    CHECK(call(way) == -1 && errno == error_of[way]);
    if (i % 4 == 0) nap(1);
    CHECK(is_pending() == signals[way]);
    if (signals[way]) CHECK(sigtimedwait(&set, NULL, &at_once) == SIGXFSZ);
    CHECK(!is_pending());
  }
  return NULL;
}

static void* bystander(void* unused) {
  pthread_barrier_wait(&meet);
  for (int i = 0; i < 20; ++i) {
    nap(1);
    CHECK(!is_pending());
  }
  return unused;
}

int main(void) {
  CHECK((file = mkstemp(name)) >= 0);
  char other[] = "/tmp/file_size_signal.XXXXXX";  // of the same file system: copy_file_range(2)
  CHECK((source = mkstemp(other)) >= 0 && unlink(other) == 0 && ftruncate(source, 4096) == 0);
  struct rlimit most = {limit, limit};
  CHECK(setrlimit(RLIMIT_FSIZE, &most) == 0 && lseek(file, limit, SEEK_SET) == limit);
  sigset_t set = the_signal();
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  find_out();
  for (enum way way = 0; way < ways; ++way) {
    SAY("%d: %s%s", way, strerrorname_np(error_of[way]), signals[way] ? ", SIGXFSZ" : "");
  }
  CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
  CHECK(pthread_barrier_init(&meet, NULL, 2 * threads) == 0);
  pthread_t started[2 * threads];
  for (int i = 0; i < threads; ++i) {
    started[2 * i] = start_thread(go_beyond, number_pointer(i));
    started[2 * i + 1] = start_thread(bystander, NULL);
  }
  for (int i = 0; i < 2 * threads; ++i) join_thread(started[i]);
  SAY("each had its own");
  CHECK(unlink(name) == 0);
  return 0;
}
