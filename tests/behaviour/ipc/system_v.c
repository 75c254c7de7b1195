// System V messages and semaphores between threads: types in order, time-outs, IPC_NOWAIT, removal while
// others wait, SEM_UNDO (msgop(2), semop(2)).
#include "check.h"

#include <stdatomic.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

enum { pairs = 6, rounds = 50 };

struct message {
  long type;
  char text[32];
};

static int queue, set;

static void* answer_mine(void* argument) {
  long mine = 1 + (long)(intptr_t)argument;
  struct message message;
  for (int i = 0; i < rounds; ++i) {
    CHECK(msgrcv(queue, &message, sizeof message.text, mine, 0) >= 0);
    CHECK(atoi(message.text) == i);
    message.type = 1000 + mine;
    CHECK(msgsnd(queue, &message, strlen(message.text) + 1, 0) == 0);
  }
  return argument;
}

static void* ask(void* argument) {
  long other = 1 + (long)(intptr_t)argument;
  struct message message;
  for (int i = 0; i < rounds; ++i) {
    message.type = other;
    snprintf(message.text, sizeof message.text, "%d", i);
    CHECK(msgsnd(queue, &message, strlen(message.text) + 1, 0) == 0);
    CHECK(msgrcv(queue, &message, sizeof message.text, 1000 + other, 0) >= 0 && atoi(message.text) == i);
  }
  return argument;
}

static void* wait_for_removal(void* argument) {
  struct message message;
  struct sembuf take = {0, -1, 0};
  if (argument == NULL) {
    CHECK(msgrcv(queue, &message, sizeof message.text, 77, 0) == -1);
  } else {
    CHECK(semop(set, &take, 1) == -1);
  }
  return number_pointer(errno);
}

static int guarded;

static void* take_and_give(void* argument) {
  for (int i = 0; i < rounds; ++i) {
    struct sembuf take = {0, -1, SEM_UNDO}, give = {0, 1, SEM_UNDO};
    CHECK(semop(set, &take, 1) == 0);
    int before = guarded;
    if (i % 10 == 0) nap(1);
    guarded = before + 1;
    CHECK(semop(set, &give, 1) == 0);
  }
  return argument;
}

static void* limits(void* argument) {
  struct message message = {9, "text that is long"};
  struct sembuf take = {1, -1, 0}, zero = {1, 0, IPC_NOWAIT};
  struct timespec time = milliseconds(30), end = clock_after(CLOCK_MONOTONIC, 29);
  CHECK_ERRNO(semtimedop(set, &take, 1, &time), EAGAIN);
  CHECK(clock_reached(CLOCK_MONOTONIC, end));
  take.sem_flg = IPC_NOWAIT;
  CHECK_ERRNO(semop(set, &take, 1), EAGAIN);
  CHECK(semop(set, &zero, 1) == 0);
  take.sem_num = 5;
  CHECK_ERRNO(semop(set, &take, 1), EFBIG);
  CHECK_ERRNO((int)msgrcv(queue, &message, 4, 9, IPC_NOWAIT), ENOMSG);
  CHECK(msgsnd(queue, &message, 18, 0) == 0);
  CHECK_ERRNO((int)msgrcv(queue, &message, 4, 9, 0), E2BIG);
  CHECK(msgrcv(queue, &message, 4, 9, MSG_NOERROR) == 4);
  return argument;
}

int main(void) {
  pthread_t threads[2 * pairs];
  queue = msgget(IPC_PRIVATE, 0600);
  set = semget(IPC_PRIVATE, 2, 0600);
  CHECK(queue >= 0 && set >= 0);
  for (int i = 0; i < pairs; ++i) {
    threads[2 * i] = start_thread(answer_mine, number_pointer(i));
    threads[2 * i + 1] = start_thread(ask, number_pointer(i));
  }
  for (int i = 0; i < 2 * pairs; ++i) join_thread(threads[i]);
  SAY("messages answered");
  CHECK(semctl(set, 0, SETVAL, 1) == 0 && semctl(set, 1, SETVAL, 0) == 0);
  for (int i = 0; i < pairs; ++i) threads[i] = start_thread(take_and_give, NULL);
  for (int i = 0; i < pairs; ++i) join_thread(threads[i]);
  SAY("guarded %d", guarded);
  limits(NULL);
  join_thread(start_thread(limits, NULL));
  SAY("limits");
  CHECK(semctl(set, 0, SETVAL, 0) == 0);
  for (int i = 0; i < 4; ++i) threads[i] = start_thread(wait_for_removal, i % 2 == 0 ? NULL : &set);
  while (semctl(set, 0, GETNCNT) < 2) nap(1);  // a message queue tells no such number
  nap(50);
  CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0);
  for (int i = 0; i < 4; ++i) {
    intptr_t error = (intptr_t)join_thread(threads[i]);
    CHECK(error == EIDRM || error == EINVAL);  // EINVAL: it came after the removal
  }
  SAY("removed");
  return 0;
}
