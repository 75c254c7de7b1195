// mq_overview(7) in threads: receive waits for a message, send for room, the timed ones until their time,
// O_NONBLOCK gives EAGAIN, priorities count, a closed descriptor gives EBADF.
#include "check.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>

static mqd_t make_queue(const char* purpose, long capacity) {
  char name[64];
  struct mq_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.mq_maxmsg = capacity;
  attributes.mq_msgsize = 64;
  snprintf(name, sizeof name, "/coshim.behaviour.%s.%d", purpose, (int)getpid());
  mq_unlink(name);
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue == (mqd_t)-1 && (errno == ENOSYS || errno == EACCES || errno == EMFILE)) _exit(77);
  CHECK(queue != (mqd_t)-1 && mq_unlink(name) == 0);
  return queue;
}

static void* receive_one(void* argument) {
  char text[64];
  unsigned priority = 0;
  ssize_t length = mq_receive(*(mqd_t*)argument, text, sizeof text, &priority);
  CHECK(length > 0);
  SAY("received %.*s with priority %u", (int)length, text, priority);
  return NULL;
}

static void* send_one(void* argument) {
  CHECK(mq_send(*(mqd_t*)argument, "late", 4, 1) == 0);
  return NULL;
}

static void blocks(void) {
  mqd_t queue = make_queue("blocks", 2);
  pthread_t receiver = start_thread(receive_one, &queue);
  nap(30);
  CHECK(mq_send(queue, "first", 5, 3) == 0);
  join_thread(receiver);
  CHECK(mq_send(queue, "low", 3, 1) == 0 && mq_send(queue, "high", 4, 9) == 0);
  pthread_t sender = start_thread(send_one, &queue);
  nap(30);
  receive_one(&queue);
  join_thread(sender);
  receive_one(&queue);
  receive_one(&queue);
  CHECK(mq_close(queue) == 0);
  char text[64];
  CHECK_ERRNO(mq_receive(queue, text, sizeof text, NULL), EBADF);
}

static void* timed(void* argument) {
  mqd_t queue = *(mqd_t*)argument;
  char text[64];
  struct timespec until = clock_after(CLOCK_REALTIME, 40), bad = {0, 1000000000};
  CHECK_ERRNO(mq_timedreceive(queue, text, sizeof text, NULL, &until), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_REALTIME, until));
  CHECK_ERRNO(mq_timedreceive(queue, text, sizeof text, NULL, &bad), EINVAL);
  CHECK_ERRNO(mq_receive(queue, text, 8, NULL), EMSGSIZE);
  CHECK(mq_send(queue, "1", 1, 0) == 0);
  until = clock_after(CLOCK_REALTIME, 40);
  CHECK_ERRNO(mq_timedsend(queue, "2", 1, 0, &until), ETIMEDOUT);
  CHECK(clock_reached(CLOCK_REALTIME, until));
  CHECK_ERRNO(mq_timedreceive(queue, text, sizeof text, NULL, &bad), EINVAL);
  CHECK(mq_timedreceive(queue, text, sizeof text, NULL, &until) == 1 &&
        "a time that has passed, and a message");
  struct mq_attr nonblocking, before;
  memset(&nonblocking, 0, sizeof nonblocking);
  nonblocking.mq_flags = O_NONBLOCK;
  CHECK(mq_setattr(queue, &nonblocking, &before) == 0 && before.mq_flags == 0);
  CHECK_ERRNO(mq_receive(queue, text, sizeof text, NULL), EAGAIN);
  CHECK(mq_close(queue) == 0);
  return NULL;
}

static int handled;
static void handle(int number) {
  (void)number;
  handled = 1;
}
static void* is_interrupted(void* argument) {
  char text[64];
  CHECK_ERRNO(mq_receive(*(mqd_t*)argument, text, sizeof text, NULL), EINTR);
  return NULL;
}

int main(void) {
  blocks();
  mqd_t queue = make_queue("timed", 1);
  join_thread(start_thread(timed, &queue));
  queue = make_queue("interrupted", 1);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t thread = start_thread(is_interrupted, &queue);
  nap(30);
  CHECK(pthread_kill(thread, SIGUSR1) == 0);
  join_thread(thread);
  CHECK(handled == 1 && mq_close(queue) == 0);
  return 0;
}
