// 100 producers, 100 consumers and a small queue between them: everything made arrives exactly once.
#include "check.h"

enum { producers = 100, consumers = 100, each = 100, capacity = 8 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static int queue[capacity], head, length;
static unsigned char seen[producers * each];

static void* produce(void* argument) {
  int first = (int)(intptr_t)argument * each;
  nap(100);  // all are alive
  for (int i = 0; i < each; ++i) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    while (length == capacity) CHECK(pthread_cond_wait(&not_full, &mutex) == 0);
    queue[(head + length++) % capacity] = first + i;
    CHECK(pthread_cond_signal(&not_empty) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return NULL;
}

static void* consume(void* argument) {
  for (int i = 0; i < producers * each / consumers; ++i) {
    CHECK(pthread_mutex_lock(&mutex) == 0);
    while (length == 0) CHECK(pthread_cond_wait(&not_empty, &mutex) == 0);
    int item = queue[head];
    head = (head + 1) % capacity;
    --length;
    CHECK(++seen[item] == 1);
    CHECK(pthread_cond_signal(&not_full) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
  }
  return argument;
}

int main(void) {
  pthread_t producer[producers], consumer[consumers];
  for (int i = 0; i < consumers; ++i) consumer[i] = start_thread(consume, NULL);
  for (int i = 0; i < producers; ++i) producer[i] = start_thread(produce, number_pointer(i));
  for (int i = 0; i < producers; ++i) join_thread(producer[i]);
  for (int i = 0; i < consumers; ++i) join_thread(consumer[i]);
  int sum = 0;
  for (int i = 0; i < producers * each; ++i) sum += seen[i];
  SAY("%d items, %d left", sum, length);
  return 0;
}
