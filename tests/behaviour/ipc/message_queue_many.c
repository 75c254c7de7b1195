// 150 senders and 150 receivers on one POSIX message queue of ten places: every message arrives once.
#include "check.h"

#include <fcntl.h>
#include <mqueue.h>

#define THREADS 150
#define MESSAGES 20

static mqd_t queue;
static long sums[THREADS];

static void* send_many(void* argument) {
  for (long i = 0; i < MESSAGES; ++i) {
    long number = (long)(intptr_t)argument * MESSAGES + i;
    CHECK(mq_send(queue, (char*)&number, sizeof number, (unsigned)i % 3) == 0);
  }
  return NULL;
}

static void* receive_many(void* argument) {
  for (int i = 0; i < MESSAGES; ++i) {
    long number;
    CHECK(mq_receive(queue, (char*)&number, sizeof number, NULL) == sizeof number);
    sums[(intptr_t)argument] += number;
  }
  return NULL;
}

int main(void) {
  pthread_t threads[2 * THREADS];
  struct mq_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.mq_maxmsg = 10;
  attributes.mq_msgsize = sizeof(long);
  char name[40];
  snprintf(name, sizeof name, "/coshim.behaviour.many.%d", (int)getpid());
  mq_unlink(name);
  queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
  if (queue == (mqd_t)-1 && (errno == ENOSYS || errno == EACCES || errno == EMFILE)) return 77;
  CHECK(queue != (mqd_t)-1 && mq_unlink(name) == 0);
  for (int i = 0; i < THREADS; ++i) threads[i] = start_thread(receive_many, number_pointer(i));
  nap(30);
  for (int i = 0; i < THREADS; ++i) threads[THREADS + i] = start_thread(send_many, number_pointer(i));
  for (int i = 0; i < 2 * THREADS; ++i) join_thread(threads[i]);
  long sum = 0, all = (long)THREADS * MESSAGES;
  for (int i = 0; i < THREADS; ++i) sum += sums[i];
  CHECK(sum == all * (all - 1) / 2);
  SAY("%ld messages", all);
  return 0;
}
