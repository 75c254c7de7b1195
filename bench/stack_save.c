/* What it costs when an idle thread's stack leaves its pages, and when it comes back
 * (COSHIM_STACK_MODE=elastic, with COSHIM_STACK_IDLE well below PAUSE). CPU time of the whole process,
 * nanoseconds for each stack: stack_save wave COUNT    COUNT threads, neighbours in memory, wait and are
 * woken together: prints what their wait costs (the saving) and what their waking costs (the bringing back,
 * with the wake-up) stack_save cycle COUNT   the same with one thread, COUNT times stack_save touch COUNT
 * COUNT threads' local variables read by main: prints what a read costs, elapsed stack_save bare COUNT    the
 * kernel's part by itself, on COUNT neighbouring stretches of two pages: prints what taking one away costs
 * one by one, 32 at once, and what one UFFDIO_COPY costs */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  PAUSE_MS = 300,
  LOCAL = 512,
  ROUNDS = 5,
  PAGE = 4096,
  LIVE = 2 * PAGE,
  STRETCH = 16 * PAGE,
  BATCH = 32
};
enum { GUARD_INSTALL = 102 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER, all_wait = PTHREAD_COND_INITIALIZER;
static long count, waiting, turn;
static int gaps_leave; /* every other thread ends at the first turn */
static volatile char** locals;

static double nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void pause_for_saves(void) {
  usleep(PAUSE_MS * 1000);
}

static void* wait_in_turn(void* number) {
  volatile char local[LOCAL];
  for (int i = 0; i < LOCAL; ++i) local[i] = (char)(i + 1);
  locals[(long)number] = local;
  pthread_mutex_lock(&mutex);
  for (long seen = 0;;) {
    if (++waiting == count) pthread_cond_signal(&all_wait);
    while (seen == turn) pthread_cond_wait(&condition, &mutex);
    seen = turn;
    if (gaps_leave && (long)number % 2 == 1) break;
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void wait_for_all(void) {
  while (waiting < count) pthread_cond_wait(&all_wait, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void create_all(long threads) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  count = threads;
  locals = calloc((size_t)threads, sizeof(*locals));
  for (long i = 0; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, wait_in_turn, (void*)i) != 0) exit(1);
  }
  pthread_mutex_lock(&mutex);
  wait_for_all();
}

static void wake_all(void) {
  pthread_mutex_lock(&mutex);
  waiting = 0;
  ++turn;
  pthread_cond_broadcast(&condition);
  wait_for_all();
}

static int by_size(const void* a, const void* b) {
  double difference = *(const double*)a - *(const double*)b;
  return (difference > 0) - (difference < 0);
}

static void wave(long threads, int apart) {
  double saving[ROUNDS], waking[ROUNDS];
  const int rounds = ROUNDS;
  create_all(apart ? 2 * threads : threads);
  if (apart) {
    gaps_leave = 1;
    count = threads;
    wake_all();
  }
  for (int i = 0; i < rounds; ++i) {
    double began = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    pause_for_saves();
    double paused = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    wake_all();
    saving[i] = (paused - began) / (double)threads;
    waking[i] = (nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - paused) / (double)threads;
  }
  qsort(saving, (size_t)rounds, sizeof(double), by_size);
  qsort(waking, (size_t)rounds, sizeof(double), by_size);
  printf("%.0f %.0f\n", saving[rounds / 2], waking[rounds / 2]);
}

static void touch(long threads) {
  create_all(threads);
  pause_for_saves();
  double began = nanoseconds(CLOCK_MONOTONIC);
  for (long i = 0; i < threads; ++i)
    if (locals[i][1] != 2) exit(1);
  printf("%.0f\n", (nanoseconds(CLOCK_MONOTONIC) - began) / (double)threads);
}

static char* memory;
static void fill(void) {
  for (long i = 0; i < count; ++i) memset(memory + i * STRETCH, 1, LIVE);
}

static void take_away(long first, long stretches) {
  struct iovec {
    void* base;
    size_t length;
  } vector[BATCH];
  size_t size = (size_t)(stretches - 1) * STRETCH + LIVE;
  for (long i = 0; i < stretches; ++i) vector[i] = (struct iovec){memory + (first + i) * STRETCH, LIVE};
  mprotect(vector[0].base, size, PROT_READ);
  mprotect(vector[0].base, size, PROT_NONE);
  for (long i = 0; i < stretches; ++i) madvise(vector[i].base, LIVE, GUARD_INSTALL);
  mprotect(vector[0].base, size, PROT_READ | PROT_WRITE);
}

static void bare(void) {
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
  memory = mmap(NULL, (size_t)count * STRETCH, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  madvise(memory, (size_t)count * STRETCH, MADV_NOHUGEPAGE);
  struct uffdio_register all = {.range = {(unsigned long)memory, (size_t)count * STRETCH},
                                .mode = UFFDIO_REGISTER_MODE_WP};
  if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0 || ioctl(fd, UFFDIO_REGISTER, &all) != 0) exit(1);
  char* contents = aligned_alloc(PAGE, LIVE);
  memset(contents, 1, LIVE);
  double single = 0, batch = 0, copy = 0;
  for (int round = 0; round < ROUNDS; ++round) {
    fill();
    double began = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; ++i) take_away(i, 1);
    single = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - began;
    began = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < count; ++i) {
      struct uffdio_copy one = {
          .dst = (unsigned long)(memory + i * STRETCH), .src = (unsigned long)contents, .len = LIVE};
      if (ioctl(fd, UFFDIO_COPY, &one) != 0) exit(1);
    }
    copy = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - began;
    began = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i + BATCH <= count; i += BATCH) take_away(i, BATCH);
    batch = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - began;
    madvise(memory, (size_t)count * STRETCH, 103 /* MADV_GUARD_REMOVE */);
  }
  printf("%.0f %.0f %.0f\n", single / (double)count, batch / (double)count, copy / (double)count);
}

int main(int argc, char** argv) {
  if (argc != 3 || (count = atol(argv[2])) < 1) return 2;
  if (strcmp(argv[1], "wave") == 0) {
    wave(count, 0);
  } else if (strcmp(argv[1], "apart") == 0) {
    wave(count, 1);
  } else if (strcmp(argv[1], "touch") == 0) {
    touch(count);
  } else {
    bare();
  }
  fflush(stdout);
  _exit(0);
}
