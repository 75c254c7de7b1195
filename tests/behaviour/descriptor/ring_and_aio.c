// io_uring(7) and Linux's native asynchronous I/O, used directly by threads: the kernel's own rings work as
// without threads, their descriptors and completions are the program's. Skipped (77) where the kernel refuses
// them.
#include "check.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct ring {
  int descriptor;
  unsigned *sq_tail, *sq_array, *cq_head, *cq_tail, sq_mask, cq_mask;
  struct io_uring_sqe* requests;
  struct io_uring_cqe* answers;
};

static int make_ring(struct ring* ring) {
  struct io_uring_params made;
  memset(&made, 0, sizeof made);
  ring->descriptor = (int)syscall(SYS_io_uring_setup, 8, &made);
  if (ring->descriptor < 0) return 0;
  size_t size = made.cq_off.cqes + made.cq_entries * sizeof(struct io_uring_cqe);
  if (size < made.sq_off.array + made.sq_entries * sizeof(unsigned))
    size = made.sq_off.array + made.sq_entries * 4;
  char* base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->descriptor, IORING_OFF_SQ_RING);
  ring->requests = mmap(NULL, made.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                        MAP_SHARED, ring->descriptor, IORING_OFF_SQES);
  CHECK(base != MAP_FAILED && ring->requests != MAP_FAILED);
  ring->sq_tail = (unsigned*)(base + made.sq_off.tail);
  ring->sq_array = (unsigned*)(base + made.sq_off.array);
  ring->sq_mask = *(unsigned*)(base + made.sq_off.ring_mask);
  ring->cq_head = (unsigned*)(base + made.cq_off.head);
  ring->cq_tail = (unsigned*)(base + made.cq_off.tail);
  ring->cq_mask = *(unsigned*)(base + made.cq_off.ring_mask);
  ring->answers = (struct io_uring_cqe*)(base + made.cq_off.cqes);
  return 1;
}

static void submit(struct ring* ring, int operation, int descriptor, void* buffer, unsigned length,
                   unsigned long mark) {
  unsigned tail = *ring->sq_tail, index = tail & ring->sq_mask;
  struct io_uring_sqe* request = &ring->requests[index];
  memset(request, 0, sizeof *request);
  request->opcode = (uint8_t)operation;
  request->fd = descriptor;
  request->addr = (uintptr_t)buffer;
  request->len = length;
  request->off = operation == IORING_OP_READ || operation == IORING_OP_WRITE ? (uint64_t)-1 : 0;
  request->user_data = mark;
  ring->sq_array[index] = index;
  __atomic_store_n(ring->sq_tail, tail + 1, __ATOMIC_RELEASE);
  CHECK(syscall(SYS_io_uring_enter, ring->descriptor, 1, 0, 0, NULL, 0) == 1);
}

static void wait_answer(struct ring* ring, unsigned long mark, int result) {
  while (*ring->cq_head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
    CHECK(syscall(SYS_io_uring_enter, ring->descriptor, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) >= 0 ||
          errno == EINTR);
  }
  const struct io_uring_cqe* answer = &ring->answers[*ring->cq_head & ring->cq_mask];
  CHECK(answer->user_data == mark && answer->res == result);
  __atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
}

static void* use_ring(void* argument) {
  struct ring ring;
  int pair[2];
  char text[16];
  if (!make_ring(&ring)) _exit(77);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  for (unsigned long i = 1; i <= 50; ++i) {
    submit(&ring, IORING_OP_READ, pair[0], text, sizeof text, i);
    // The ring is a descriptor that can be waited for.
    struct pollfd entry = {ring.descriptor, POLLIN, 0};
    CHECK(poll(&entry, 1, 0) == 0);
    CHECK(write(pair[1], "ring", 4) == 4);
    CHECK(poll(&entry, 1, 10000) == 1);
    wait_answer(&ring, i, 4);
    CHECK(memcmp(text, "ring", 4) == 0);
  }
  CHECK(close(pair[0]) == 0 && close(pair[1]) == 0 && close(ring.descriptor) == 0);
  return argument;
}

static void* use_aio(void* argument) {
  aio_context_t context = 0;
  char name[32], text[4096];
  snprintf(name, sizeof name, "file%d", (int)(intptr_t)argument);
  int file = open(name, O_RDWR | O_CREAT, 0600);
  if (syscall(SYS_io_setup, 4, &context) != 0) _exit(77);
  memset(text, 'a', sizeof text);
  for (int i = 0; i < 20; ++i) {
    struct iocb block, *blocks[] = {&block};
    struct io_event event;
    memset(&block, 0, sizeof block);
    block.aio_fildes = (uint32_t)file;
    block.aio_lio_opcode = i % 2 ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
    block.aio_buf = (uintptr_t)text;
    block.aio_nbytes = sizeof text;
    block.aio_data = (uint64_t)i;
    CHECK(syscall(SYS_io_submit, context, 1, blocks) == 1);
    CHECK(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
    CHECK(event.data == (uint64_t)i && event.res == sizeof text && text[4095] == 'a');
  }
  CHECK(syscall(SYS_io_destroy, context) == 0 && close(file) == 0);
  return NULL;
}

int main(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; ++i) threads[i] = start_thread(i % 2 ? use_ring : use_aio, number_pointer(i));
  for (int i = 0; i < 8; ++i) join_thread(threads[i]);
  SAY("rings and contexts");
  return 0;
}
