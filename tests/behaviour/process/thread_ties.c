// What the kernel ties to the thread that began it lasts as long as that thread, whatever the thread does in
// between: io_uring requests under way (they are cancelled when their thread ends), and children that asked
// for a signal when their parent thread ends (PR_SET_PDEATHSIG, prctl(2)).
#include "check.h"

#include <linux/io_uring.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define THREADS 24

static pthread_barrier_t begun, over;
static int with_rings;

struct ring {
  int fd;
  char *submission, *completion;
  struct io_uring_sqe* request;
  struct io_uring_params made;
};

static unsigned* word(char* base, unsigned offset) {
  return (unsigned*)(base + offset);
}

static void open_ring(struct ring* ring) {
  memset(&ring->made, 0, sizeof ring->made);
  ring->fd = (int)syscall(SYS_io_uring_setup, 4, &ring->made);
  CHECK(ring->fd >= 0);
  ring->submission = mmap(NULL, ring->made.sq_off.array + ring->made.sq_entries * sizeof(unsigned),
                          PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
  ring->completion = mmap(NULL, ring->made.cq_off.cqes + ring->made.cq_entries * sizeof(struct io_uring_cqe),
                          PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_CQ_RING);
  ring->request = mmap(NULL, ring->made.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                       MAP_SHARED, ring->fd, IORING_OFF_SQES);
  CHECK(ring->submission != MAP_FAILED && ring->completion != MAP_FAILED && ring->request != MAP_FAILED);
}

static void begin_read(struct ring* ring, int fd, char* buffer) {
  memset(ring->request, 0, sizeof *ring->request);
  ring->request->opcode = IORING_OP_READ;
  ring->request->fd = fd;
  ring->request->addr = (uintptr_t)buffer;
  ring->request->len = 4;
  *word(ring->submission, ring->made.sq_off.array) = 0;
  __atomic_store_n(word(ring->submission, ring->made.sq_off.tail), 1, __ATOMIC_RELEASE);
  CHECK(syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1);
}

static int answer(struct ring* ring) {
  struct pollfd ready = {ring->fd, POLLIN, 0};
  CHECK(poll(&ready, 1, 30000) == 1);
  CHECK(__atomic_load_n(word(ring->completion, ring->made.cq_off.tail), __ATOMIC_ACQUIRE) == 1);
  return ((struct io_uring_cqe*)(ring->completion + ring->made.cq_off.cqes))->res;
}

// Calls that need a kernel thread each, at the same time, and then none for a while.
static void use_kernel_threads(void) {
  struct addrinfo* found = NULL;
  pthread_barrier_wait(&begun);
  if (getaddrinfo("localhost", "80", NULL, &found) == 0) freeaddrinfo(found);
  nap(1400);
}

static void* read_by_ring(void* unused) {
  struct ring ring;
  char* buffer = malloc(4);
  int ends[2];
  CHECK(pipe(ends) == 0);
  open_ring(&ring);
  begin_read(&ring, ends[0], buffer);
  use_kernel_threads();
  CHECK(write(ends[1], "abcd", 4) == 4);
  CHECK(answer(&ring) == 4 && memcmp(buffer, "abcd", 4) == 0);
  free(buffer);
  return unused;
}

static void* have_child(void* unused) {
  int ready[2];
  char byte;
  CHECK(pipe(ready) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  use_kernel_threads();
  int status;
  CHECK(waitpid(child, &status, WNOHANG) == 0);
  CHECK(kill(child, SIGTERM) == 0);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  pthread_barrier_wait(&over);  // natively the other children belong to other threads
  close(ready[0]);
  close(ready[1]);
  return unused;
}

static void run(void* (*routine)(void*)) {
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(routine, NULL);
  for (int i = 0; i < THREADS; ++i) join_thread(threads[i]);
}

int main(void) {
  struct io_uring_params made;
  memset(&made, 0, sizeof made);
  int fd = (int)syscall(SYS_io_uring_setup, 1, &made);
  with_rings = fd >= 0;
  if (with_rings) close(fd);
  CHECK(pthread_barrier_init(&begun, NULL, THREADS) == 0 && pthread_barrier_init(&over, NULL, THREADS) == 0);
  if (with_rings) run(read_by_ring);
  SAY("requests were answered");
  run(have_child);
  SAY("children lived on");
  return 0;
}
