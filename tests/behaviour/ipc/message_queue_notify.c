// mq_notify(3): nobody is notified of a message for which a thread waits in mq_receive, whoever waited first;
// the registration stays, and the next message that nobody waits for is told.
#include "check.h"

#include <mqueue.h>
#include <signal.h>

static mqd_t queue;
static volatile sig_atomic_t notified;

static void note(int number, siginfo_t* info, void* unused) {
  (void)number;
  (void)unused;
  if (info->si_code == SI_MESGQ && info->si_value.sival_int == 42) ++notified;
}

static void* receives(void* unused) {
  char message[16];
  CHECK(mq_receive(queue, message, sizeof message, NULL) == 2);
  return unused;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "/behaviour.%d", getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  CHECK(queue != (mqd_t)-1 && mq_unlink(name) == 0);
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};

  for (int waits_first = 0; waits_first < 2; ++waits_first) {
    // A receiver that did not come to wait in that time is notified of: then once more, with more time.
    for (int time = 50; time < 5000; time *= 2) {
      pthread_t thread;
      notified = 0;
      if (waits_first) {
        thread = start_thread(receives, NULL);
        nap(time);
      }
      CHECK(mq_notify(queue, &event) == 0);
      if (!waits_first) thread = start_thread(receives, NULL);
      nap(time);
      CHECK(mq_send(queue, "1", 2, 0) == 0);
      join_thread(thread);
      if (notified == 0) break;
    }
    CHECK(notified == 0);
    CHECK(mq_send(queue, "2", 2, 0) == 0);
    for (int i = 0; i < 1000 && notified == 0; ++i) nap(1);
    CHECK(notified == 1);
    notified = 0;
    receives(NULL);
    SAY("%s: told once", waits_first ? "waited before" : "waited after");
  }
  return 0;
}
