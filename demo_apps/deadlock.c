/* Two threads that take two locks in opposite order, and three innocent ones. Hangs until it is killed. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t accounts = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t state_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t state_changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t both_hold_one;

static void* transfer_money(void* unused) {
  (void)unused;
  pthread_mutex_lock(&accounts);
  pthread_barrier_wait(&both_hold_one);
  pthread_mutex_lock(&journal);
  return NULL;
}

static void* rotate_journal(void* unused) {
  (void)unused;
  pthread_mutex_lock(&journal);
  pthread_barrier_wait(&both_hold_one);
  pthread_mutex_lock(&accounts);
  return NULL;
}

static void* wait_for_state(void* unused) {
  (void)unused;
  pthread_mutex_lock(&state_mutex);
  for (;;) pthread_cond_wait(&state_changed, &state_mutex);
  return NULL;
}

static void* wait_for_input(void* fd) {
  char byte;
  return read(*(int*)fd, &byte, 1) == 1 ? fd : NULL;
}

static void* tick(void* unused) {
  (void)unused;
  for (;;) sleep(3600);
  return NULL;
}

int main(void) {
  void* (*const routines[])(void*) = {transfer_money, rotate_journal, wait_for_state, wait_for_input, tick};
  int never_written[2];
  pthread_t threads[5];
  if (pipe(never_written) != 0) return 1;
  pthread_barrier_init(&both_hold_one, NULL, 2);
  for (int i = 0; i < 5; ++i) pthread_create(&threads[i], NULL, routines[i], &never_written[0]);
  printf("five threads started\n");
  fflush(stdout);
  for (int i = 0; i < 5; ++i) pthread_join(threads[i], NULL);
  return 0;
}
