// Threads hand out pointers to locals, wait, and find there what others have written meanwhile: with all
// their neighbours reading, writing and adding at the same time, by user code and by the kernel. Under
// COSHIM_STACK_MODE=elastic with a short COSHIM_STACK_IDLE, the stacks that are written to are saved ones.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kThreads = 600, kRounds = 6, kWords = 64 };

struct Desk {
  atomic_long sum;
  long words[kWords];
  char text[64];
};

static struct Desk* _Atomic g_desks[kThreads];
static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;
static int g_round, g_ready;
static atomic_int g_errors;

static void wait_for_round(int round) {
  pthread_mutex_lock(&g_lock);
  ++g_ready;
  pthread_cond_broadcast(&g_changed);
  while (g_round < round) pthread_cond_wait(&g_changed, &g_lock);
  pthread_mutex_unlock(&g_lock);
}

static long expected_word(int owner, int round, int word) {
  return owner * 1000003L + round * 7919L + word;
}

static void* owner(void* argument) {
  int self = (int)(long)argument;
  struct Desk desk;
  memset(&desk, 0, sizeof(desk));
  g_desks[self] = &desk;
  for (int round = 1; round <= kRounds; ++round) {
    wait_for_round(round);
    if (atomic_load(&desk.sum) != 3L * round) ++g_errors;
    for (int word = 0; word < kWords; ++word) {
      if (desk.words[word] != expected_word(self, round, word)) ++g_errors;
    }
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "round %d for thread %d", round, self);
    if (strcmp(desk.text, wanted) != 0) ++g_errors;
  }
  return NULL;
}

// Three of them go over all desks in different orders: each adds to the sum; one writes the words, another
// has the kernel write the text.
struct Visitor {
  int number, round;
};

static void* visit(void* argument) {
  struct Visitor* visitor = argument;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) abort();
  for (int step = 0; step < kThreads; ++step) {
    int at = visitor->number == 1 ? kThreads - 1 - step : (step * (visitor->number == 2 ? 7 : 1)) % kThreads;
    struct Desk* desk = g_desks[at];
    atomic_fetch_add(&desk->sum, 1);
    if (visitor->number == 0) {
      for (int word = 0; word < kWords; ++word) desk->words[word] = expected_word(at, visitor->round, word);
    } else if (visitor->number == 1) {
      char text[64] = {0};
      int length = snprintf(text, sizeof(text), "round %d for thread %d", visitor->round, at) + 1;
      if (write(pipe_ends[1], text, (size_t)length) != length) abort();
      ssize_t got = read(pipe_ends[0], desk->text, (size_t)length);
      if (got != length) {
        perror("read into another thread's stack");
        ++g_errors;
      }
    }
  }
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  return NULL;
}

static void one_round(int round) {
  pthread_mutex_lock(&g_lock);
  while (g_ready < kThreads * round) pthread_cond_wait(&g_changed, &g_lock);
  pthread_mutex_unlock(&g_lock);
  // Long enough for the owners' stacks to be saved, where that happens after a few milliseconds.
  struct timespec pause = {0, (round % 3) * 25000000L};
  nanosleep(&pause, NULL);
  pthread_t threads[3];
  struct Visitor visitors[3];
  for (int i = 0; i < 3; ++i) {
    visitors[i] = (struct Visitor){i, round};
    if (i < 2 && pthread_create(&threads[i], NULL, &visit, &visitors[i]) != 0) abort();
  }
  visit(&visitors[2]);  // main, a kernel thread
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  pthread_mutex_lock(&g_lock);
  g_round = round;
  pthread_cond_broadcast(&g_changed);
  pthread_mutex_unlock(&g_lock);
}

int main(void) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  static pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], &attributes, &owner, (void*)i) != 0) abort();
  }
  for (int round = 1; round <= kRounds; ++round) one_round(round);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  printf("%d errors\n", atomic_load(&g_errors));
  return 0;
}
