/* What a program for stack mode shared must not do, and what COSHIM_LOG=debug reports: a thread hands the
 * address of a local variable to the thread that it creates. */
#include <pthread.h>
#include <stddef.h>

static void* take(void* argument) {
  return argument;
}

static void* hand_out(void* argument) {
  int local = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, take, &local);
  pthread_join(thread, NULL);
  return argument;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, hand_out, NULL);
  pthread_join(thread, NULL);
  return 0;
}
