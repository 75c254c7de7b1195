// Different signals for the process at the same moment, while main waits: none is lost, none stays blocked.
#include "check.h"

#include <dirent.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { kRounds = 600 };

static const int signals[] = {SIGUSR1, SIGUSR2, SIGALRM};
enum { kSignals = sizeof signals / sizeof *signals };

static atomic_int handled[kSignals];
static sem_t sent;

static void handle(int number) {
  for (int i = 0; i < kSignals; ++i) {
    if (signals[i] == number) atomic_fetch_add(&handled[i], 1);
  }
}

static void* send_all(void* unused) {
  for (int i = 0; i < kSignals; ++i) CHECK(kill(getpid(), signals[i]) == 0);
  CHECK(sem_post(&sent) == 0);
  return unused;
}

// Where a signal that does not come is stuck: proc(5), what is pending and blocked, for each kernel thread.
static void show_signals(int round) {
  for (int i = 0; i < kSignals; ++i)
    fprintf(stderr, "round %d: signal %d handled %d times\n", round, signals[i], atomic_load(&handled[i]));
  DIR* tasks = opendir("/proc/self/task");
  for (struct dirent* task; tasks != NULL && (task = readdir(tasks)) != NULL;) {
    char path[300], line[128];
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
    FILE* status = fopen(path, "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
      if (strncmp(line, "Name", 4) == 0 || strncmp(line, "Sig", 3) == 0 || strncmp(line, "Shd", 3) == 0)
        fputs(line, stderr);
    }
    if (status != NULL) fclose(status);
  }
}

static void wait_for(int round) {
  for (int i = 0; i < kSignals; ++i) {
    for (int tries = 0; atomic_load(&handled[i]) != round; ++tries) {
      bool goes_on = atomic_load(&handled[i]) < round && tries < 20000;
      if (!goes_on) show_signals(round);
      CHECK(goes_on);
      usleep(1000);
    }
  }
}

int main(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  for (int i = 0; i < kSignals; ++i) CHECK(sigaction(signals[i], &action, NULL) == 0);
  CHECK(sem_init(&sent, 0, 0) == 0);
  for (int round = 1; round <= kRounds; ++round) {
    pthread_t sender = start_thread(send_all, NULL);
    while (sem_wait(&sent) != 0) CHECK(errno == EINTR);
    wait_for(round);
    join_thread(sender);
  }
  sigset_t blocked;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
  for (int i = 0; i < kSignals; ++i) CHECK(!sigismember(&blocked, signals[i]));
  SAY("%d signals of each kind", kRounds);
  return 0;
}
