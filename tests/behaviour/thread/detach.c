// pthread_detach(3): by attribute, by the creator, by the thread itself, after the thread has ended; all of
// them run to their ends, and hundreds of them leave room for hundreds more.
#include "check.h"

enum { threads = 100, waves = 5 };

static int ended;

static void* end(void* argument) {
  (void)argument;
  nap(1);
  __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

static void* detach_oneself(void* argument) {
  CHECK(pthread_detach(pthread_self()) == 0);
  return end(argument);
}

static void wait_until_ended(int count) {
  while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) < count) nap(1);
}

int main(void) {
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
  pthread_t thread;
  for (int wave = 0; wave < waves; ++wave) {
    for (int i = 0; i < threads; ++i) CHECK(pthread_create(&thread, &attributes, end, NULL) == 0);
    for (int i = 0; i < threads; ++i) CHECK(pthread_detach(start_thread(end, NULL)) == 0);
    for (int i = 0; i < threads; ++i) start_thread(detach_oneself, NULL);
    wait_until_ended((wave + 1) * 3 * threads);
  }
  thread = start_thread(end, NULL);
  wait_until_ended(waves * 3 * threads + 1);
  nap(20);
  CHECK(pthread_detach(thread) == 0);
  SAY("%d detached threads ended", ended);
  CHECK(pthread_attr_destroy(&attributes) == 0);
  return 0;
}
