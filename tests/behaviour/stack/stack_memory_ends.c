/* When memory ends (limits of the address space and of private writable memory, which fail the calls that an
 * overcommit policy of 2 fails, too): pthread_create gives EAGAIN, threads that live go on with every byte of
 * their stacks, and when some have ended there is room for others. Threads wait for moments in between, so
 * that stacks which leave their pages while idle do so at the limit. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { ROUNDS = 3, MOST = 1500, LOCAL = 3000, CHURN = 64, STACK = 1 << 20 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn, arrived, leave;

static void check_local(const volatile unsigned char* local, unsigned seed) {
  for (unsigned i = 0; i < LOCAL; ++i) CHECK(local[i] == (unsigned char)(seed + i * 7));
}

static void* waiter(void* argument) {
  unsigned seed = (unsigned)(long)argument;
  volatile unsigned char local[LOCAL];
  for (unsigned i = 0; i < LOCAL; ++i) local[i] = (unsigned char)(seed + i * 7);
  pthread_mutex_lock(&mutex);
  for (int seen = 0; !leave;) {
    while (seen == turn && !leave) pthread_cond_wait(&condition, &mutex);
    seen = turn;
    ++arrived;
    pthread_mutex_unlock(&mutex);
    check_local(local, seed);
    if (seed % 3 == 0) usleep(1000);
    pthread_mutex_lock(&mutex);
  }
  pthread_mutex_unlock(&mutex);
  check_local(local, seed);
  return argument;
}

static int create_until_refused(pthread_t* threads) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK);
  int count = 0, error = 0;
  for (; count < MOST; ++count) {
    error = pthread_create(&threads[count], &attributes, waiter, (void*)(long)count);
    if (error != 0) break;
  }
  pthread_attr_destroy(&attributes);
  CHECK(error == EAGAIN || count == MOST);
  CHECK(count > 20);
  return count;
}

/* The rest of the memory comes and goes. */
static void churn(void) {
  static void* blocks[CHURN];
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < CHURN; ++i)
      if ((blocks[i] = malloc((size_t)(i + 1) << 14)) != NULL) memset(blocks[i], i, (size_t)(i + 1) << 14);
    usleep(1000);
    for (int i = 0; i < CHURN; ++i) free(blocks[i]);
  }
}

static void wake_all(int count) {
  pthread_mutex_lock(&mutex);
  arrived = 0;
  ++turn;
  pthread_cond_broadcast(&condition);
  while (arrived < count) {
    pthread_mutex_unlock(&mutex);
    usleep(500);
    pthread_mutex_lock(&mutex);
  }
  pthread_mutex_unlock(&mutex);
}

static void live_at_the_limit(void) {
  static pthread_t threads[MOST];
  int count = create_until_refused(threads);
  for (int i = 0; i < 4; ++i) {
    usleep(20000);
    wake_all(count);
    churn();
  }
  pthread_t another;
  int error = pthread_create(&another, NULL, waiter, NULL);
  CHECK(error == EAGAIN || error == 0);
  pthread_mutex_lock(&mutex);
  leave = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < count; ++i) {
    void* result = NULL;
    CHECK(pthread_join(threads[i], &result) == 0);
    CHECK(result == (void*)(long)i);
  }
  if (error == 0) CHECK(pthread_join(another, NULL) == 0);
  leave = 0;
}

static void under_limit(int resource, rlim_t bytes) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    struct rlimit limit = {bytes, bytes};
    CHECK(setrlimit(resource, &limit) == 0);
    for (int round = 0; round < ROUNDS; ++round) live_at_the_limit();
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
  under_limit(RLIMIT_AS, 300 << 20);
  printf("address space\n");
  under_limit(RLIMIT_DATA, 200 << 20);
  printf("private writable memory\n");
  return 0;
}
