// POSIX asynchronous I/O (aio(7)) from threads: reads and writes of a file and of a pipe, aio_suspend,
// lio_listio, aio_fsync, aio_cancel, a notification in a thread.
#include "check.h"

#include <aio.h>
#include <fcntl.h>
#include <semaphore.h>

enum { threads = 8, blocks = 16, block = 1000 };

struct work {
  struct aiocb requests[blocks];
  struct aiocb* list[blocks];
  char data[blocks][block];
};

static int file;
static sem_t notified;

static void wait_for(struct aiocb* request) {
  const struct aiocb* list[1] = {request};
  while (aio_error(request) == EINPROGRESS) CHECK(aio_suspend(list, 1, NULL) == 0 || errno == EINTR);
}

static void prepare(struct work* work, int i, int opcode, off_t base) {
  memset(&work->requests[i], 0, sizeof work->requests[i]);
  work->requests[i].aio_fildes = file;
  work->requests[i].aio_buf = work->data[i];
  work->requests[i].aio_nbytes = block;
  work->requests[i].aio_offset = base + i * block;
  work->requests[i].aio_lio_opcode = opcode;
  work->list[i] = &work->requests[i];
}

static void* write_and_read(void* argument) {
  int number = (int)(intptr_t)argument;
  off_t base = (off_t)number * blocks * block;
  struct work* work = calloc(1, sizeof *work);
  CHECK(work != NULL);
  for (int i = 0; i < blocks; ++i) {
    prepare(work, i, LIO_WRITE, base);
    memset(work->data[i], 'a' + (number + i) % 26, block);
  }
  CHECK(lio_listio(LIO_WAIT, work->list, blocks, NULL) == 0);
  for (int i = 0; i < blocks; ++i) CHECK(aio_return(&work->requests[i]) == block);
  struct aiocb* sync = calloc(1, sizeof *sync);
  CHECK(sync != NULL);
  sync->aio_fildes = file;
  CHECK(aio_fsync(O_DSYNC, sync) == 0);
  wait_for(sync);
  CHECK(aio_return(sync) == 0);
  free(sync);
  memset(work->data, 0, sizeof work->data);
  for (int i = 0; i < blocks; ++i) {
    prepare(work, i, LIO_READ, base);
    CHECK(aio_read(&work->requests[i]) == 0);
  }
  for (int i = 0; i < blocks; ++i) {
    wait_for(&work->requests[i]);
    CHECK(aio_error(&work->requests[i]) == 0 && aio_return(&work->requests[i]) == block);
    for (int j = 0; j < block; ++j) CHECK(work->data[i][j] == 'a' + (number + i) % 26);
  }
  free(work);
  return argument;
}

static void notify(union sigval value) {
  CHECK(value.sival_int == 7);
  CHECK(sem_post(&notified) == 0);
}

static void* with_a_pipe(void* argument) {
  int ends[2];
  static char byte;
  static struct aiocb request;
  CHECK(pipe(ends) == 0);
  memset(&request, 0, sizeof request);
  request.aio_fildes = ends[0];
  request.aio_buf = &byte;
  request.aio_nbytes = 1;
  request.aio_sigevent.sigev_notify = SIGEV_THREAD;
  request.aio_sigevent.sigev_notify_function = notify;
  request.aio_sigevent.sigev_value.sival_int = 7;
  CHECK(aio_read(&request) == 0);
  const struct aiocb* list[1] = {&request};
  struct timespec time = milliseconds(30);
  CHECK_ERRNO(aio_suspend(list, 1, &time), EAGAIN);
  CHECK(aio_error(&request) == EINPROGRESS);
  CHECK(write(ends[1], "x", 1) == 1);
  while (sem_wait(&notified) == -1) CHECK(errno == EINTR);
  wait_for(&request);
  CHECK(aio_return(&request) == 1 && byte == 'x');
  CHECK(aio_cancel(file, NULL) == AIO_ALLDONE);
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return argument;
}

int main(void) {
  CHECK(sem_init(&notified, 0, 0) == 0);
  file = open("aio", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(file >= 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(write_and_read, number_pointer(i));
  for (int i = 0; i < threads; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  SAY("written and read");
  with_a_pipe(NULL);
  join_thread(start_thread(with_a_pipe, NULL));
  SAY("a pipe");
  CHECK(close(file) == 0 && unlink("aio") == 0);
  return 0;
}
