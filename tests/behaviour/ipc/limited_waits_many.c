// Hundreds of threads in waits that the kernel does for them: System V semaphores and messages, file locks of
// each kind. Each group waits for a thread that comes last, and that one waits for nobody: none stops the
// others.
#include "check.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#define EACH 60

struct message {
  long type;
  int number;
};

static int semaphore, messages;
static pthread_barrier_t ready;

static void* take_semaphore(void* argument) {
  struct sembuf down = {0, -1, 0};
  (void)argument;
  pthread_barrier_wait(&ready);
  CHECK(semop(semaphore, &down, 1) == 0);
  return number_pointer(1);
}

static void* take_message(void* argument) {
  struct message message;
  pthread_barrier_wait(&ready);
  CHECK(msgrcv(messages, &message, sizeof message.number, (long)(intptr_t)argument + 1, 0) ==
        sizeof message.number);
  CHECK(message.number == (int)(intptr_t)argument);
  return number_pointer(1);
}

static void* take_lock(void* argument) {
  int kind = (int)(intptr_t)argument % 2, descriptor = open("locked", O_RDWR);
  CHECK(descriptor >= 0);
  pthread_barrier_wait(&ready);
  if (kind == 0) {
    CHECK(flock(descriptor, LOCK_EX) == 0);
  } else {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    CHECK(fcntl(descriptor, F_OFD_SETLKW, &lock) == 0);
  }
  nap(1);
  CHECK(close(descriptor) == 0);
  return number_pointer(1);
}

static void* time_out(void* argument) {
  struct sembuf down = {1, -1, 0};
  struct timespec interval = milliseconds(20), limit = clock_after(CLOCK_MONOTONIC, 20);
  (void)argument;
  pthread_barrier_wait(&ready);
  CHECK_ERRNO(semtimedop(semaphore, &down, 1, &interval), EAGAIN);
  CHECK(clock_reached(CLOCK_MONOTONIC, limit));
  return number_pointer(1);
}

int main(void) {
  static void* (*const kinds[])(void*) = {take_semaphore, take_message, take_lock, time_out};
  pthread_t threads[4 * EACH];
  semaphore = semget(IPC_PRIVATE, 2, 0600);
  messages = msgget(IPC_PRIVATE, 0600);
  CHECK(semaphore >= 0 && messages >= 0);
  CHECK(semctl(semaphore, 0, SETVAL, 0) == 0 && semctl(semaphore, 1, SETVAL, 0) == 0);
  int holder = open("locked", O_RDWR | O_CREAT, 0600);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
  CHECK(holder >= 0 && flock(holder, LOCK_EX) == 0 && fcntl(holder, F_OFD_SETLK, &lock) == 0);
  CHECK(pthread_barrier_init(&ready, NULL, 4 * EACH + 1) == 0);
  for (int i = 0; i < 4 * EACH; ++i) threads[i] = start_thread(kinds[i / EACH], number_pointer(i % EACH));
  pthread_barrier_wait(&ready);
  nap(100);
  struct sembuf up = {0, EACH, 0};
  CHECK(close(holder) == 0 && semop(semaphore, &up, 1) == 0);
  for (int i = EACH - 1; i >= 0; --i) {
    struct message message = {i + 1, i};
    CHECK(msgsnd(messages, &message, sizeof message.number, 0) == 0);
  }
  long done = 0;
  for (int i = 0; i < 4 * EACH; ++i) done += (intptr_t)join_thread(threads[i]);
  CHECK(semctl(semaphore, 0, IPC_RMID) == 0 && msgctl(messages, IPC_RMID, NULL) == 0);
  SAY("%ld done", done);
  return 0;
}
