// A clean stop: SIGTERM interrupts main's accept, main shuts the connections down, joins the threads and
// returns.
#include "loopback.h"

#include <signal.h>

enum { connections = 30 };

static volatile sig_atomic_t stopping;
static int seen;

static void stop(int number) {
  (void)number;
  stopping = 1;
}

static void* echo(void* argument) {
  char byte;
  while (recv((int)(intptr_t)argument, &byte, 1, 0) == 1) {
  }
  return NULL;
}

static void* be_clients(void* argument) {
  sigset_t all;
  sigfillset(&all);
  CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
  for (int i = 0; i < connections; ++i) connect_loopback((int)(intptr_t)argument);
  nap(30);
  // Again and again until main has seen it: it may arrive just before accept is entered.
  while (!__atomic_load_n(&seen, __ATOMIC_ACQUIRE)) {
    CHECK(kill(getpid(), SIGTERM) == 0);
    nap(20);
  }
  return NULL;
}

static void join_all(int* descriptor, pthread_t* thread) {
  for (int i = 0; i < connections; ++i) {
    CHECK(shutdown(descriptor[i], SHUT_RDWR) == 0);
    join_thread(thread[i]);
    CHECK(close(descriptor[i]) == 0);
  }
}

int main(void) {
  struct sigaction action;
  int descriptor[connections], count = 0, listener = listen_loopback(connections);
  pthread_t thread[connections];
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  CHECK(sigaction(SIGTERM, &action, NULL) == 0);
  sigset_t term, old;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  CHECK(pthread_sigmask(SIG_BLOCK, &term, &old) == 0);  // inherited: only main takes the signal
  pthread_t clients = start_thread(be_clients, number_pointer(bound_port(listener)));
  while (count < connections) {
    CHECK((descriptor[count] = accept(listener, NULL, NULL)) >= 0);
    thread[count] = start_thread(echo, number_pointer(descriptor[count]));
    ++count;
  }
  CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
  CHECK_ERRNO(accept(listener, NULL, NULL), EINTR);
  CHECK(stopping);
  __atomic_store_n(&seen, 1, __ATOMIC_RELEASE);
  SAY("interrupted with %d connections", count);
  join_thread(clients);
  join_all(descriptor, thread);
  SAY("all joined");
  return 0;
}
