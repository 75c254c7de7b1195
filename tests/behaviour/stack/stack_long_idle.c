// Threads that have been idle for long, all of a neighbourhood, are found as they were: by themselves when
// they are woken one by one in any order, by others who read and write their locals, by the kernel on behalf
// of others, by the child of a fork, and after the process has limited or locked its memory.
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

enum { kThreads = 150, kRounds = 12, kWords = 40 };

struct Desk {
  long words[kWords];
};

static struct Desk* volatile desks[kThreads];
static pthread_mutex_t locks[kThreads];
static pthread_cond_t conditions[kThreads];
static int turn[kThreads], done[kThreads];
static pthread_barrier_t started;

static void* owner(void* argument) {
  int self = (int)(intptr_t)argument;
  struct Desk desk;
  for (int i = 0; i < kWords; ++i) desk.words[i] = self * 1000 + i;
  desks[self] = &desk;
  pthread_barrier_wait(&started);
  for (int expected = 1;; ++expected) {
    pthread_mutex_lock(&locks[self]);
    while (turn[self] < expected) pthread_cond_wait(&conditions[self], &locks[self]);
    int last = turn[self] == kRounds;
    done[self] = expected;
    pthread_cond_signal(&conditions[self]);
    pthread_mutex_unlock(&locks[self]);
    // Word 0 counts the visits, the last one is ours alone.
    CHECK(desk.words[kWords - 1] == self * 1000 + kWords - 1 + expected - 1);
    desk.words[kWords - 1]++;
    if (last) return number_pointer(desk.words[0]);
  }
}

static unsigned next_random(unsigned* state) {
  *state = *state * 1103515245 + 12345;
  return *state >> 16;
}

// Natively a read of another's local; here perhaps of one that is elsewhere.
static void* visit(void* argument) {
  unsigned state = (unsigned)(intptr_t)argument * 7919 + 1;
  for (int i = 0; i < 40; ++i) {
    int at = (int)(next_random(&state) % kThreads);
    struct Desk* desk = desks[at];
    if (i % 8 == 7) {  // by the kernel
      int ends[2];
      CHECK(pipe(ends) == 0);
      CHECK(write(ends[1], &desk->words[1], 16) == 16);
      CHECK(read(ends[0], &desk->words[1], 16) == 16);
      close(ends[0]);
      close(ends[1]);
    }
    __atomic_add_fetch(&desk->words[0], 1, __ATOMIC_RELAXED);
    for (int word = 1; word < kWords - 1; ++word) CHECK(desk->words[word] == at * 1000 + word);
  }
  return NULL;
}

static void visit_in_child(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    for (int at = 0; at < kThreads; at += 7) {
      for (int word = 1; word < kWords - 1; ++word) CHECK(desks[at]->words[word] == at * 1000 + word);
      desks[at]->words[1] = -1;
    }
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void wake(int at, int round) {
  pthread_mutex_lock(&locks[at]);
  turn[at] = round;
  pthread_cond_signal(&conditions[at]);
  while (done[at] < round) pthread_cond_wait(&conditions[at], &locks[at]);
  pthread_mutex_unlock(&locks[at]);
}

static void change_limits(int round) {
  struct rlimit limit;
  if (round == kRounds - 4) {
    if (mlockall(MCL_CURRENT | MCL_ONFAULT) == 0) munlockall();
  } else if (round == kRounds - 3) {
    CHECK(getrlimit(RLIMIT_DATA, &limit) == 0);
    limit.rlim_cur = (rlim_t)64 << 30;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
  }
}

int main(void) {
  static pthread_t threads[kThreads];
  long first[kThreads], visits = 0;
  CHECK(pthread_barrier_init(&started, NULL, kThreads + 1) == 0);
  for (int i = 0; i < kThreads; ++i) {
    pthread_mutex_init(&locks[i], NULL);
    pthread_cond_init(&conditions[i], NULL);
    threads[i] = start_thread(owner, number_pointer(i));
  }
  pthread_barrier_wait(&started);
  for (int i = 0; i < kThreads; ++i) first[i] = i * 1000;
  for (int round = 1; round <= kRounds; ++round) {
    nap(40);
    pthread_t visitors[3];
    for (int i = 0; i < 3; ++i) visitors[i] = start_thread(visit, number_pointer(round * 3 + i));
    if (round % 3 == 0) visit_in_child();
    change_limits(round);
    const bool last = round == kRounds;  // after which a desk is gone
    for (int i = 0; last && i < 3; ++i) join_thread(visitors[i]);
    for (int i = 0; i < kThreads; ++i) wake((i * 67) % kThreads, round);
    for (int i = 0; !last && i < 3; ++i) join_thread(visitors[i]);
  }
  for (int i = 0; i < kThreads; ++i) visits += (long)(intptr_t)join_thread(threads[i]) - first[i];
  SAY("%ld visits", visits);
  return 0;
}
