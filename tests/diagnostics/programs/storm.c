// storm KIND: something that dumps must not disturb, over and over in several threads; "ready" when it began,
// and a line on stdin ends it, with status 0 if all went well.
//   forks    children that look at the loaded modules and end
//   threads  threads that are created and end at once
//   blocked  threads that sleep, in a process that blocks every signal
//   own      a program that handles SIGRTMAX-1 itself, and counts: each of them was sent by itself
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int over;
static atomic_long done, sent, handled, strange;

static int count_one(struct dl_phdr_info* info, size_t size, void* count) {
  (void)info;
  (void)size;
  ++*(int*)count;
  return 0;
}

static void* fork_children(void* unused) {
  while (!over) {
    pid_t child = fork();
    if (child == 0) {
      int count = 0;
      alarm(20);  // stuck on a lock that nobody holds any more
      dl_iterate_phdr(count_one, &count);
      _exit(count > 2 ? 0 : 1);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
      fprintf(stderr, "a child ended with %#x\n", (unsigned)status);
      exit(1);
    }
    ++done;
  }
  return unused;
}

static void* end_at_once(void* unused) {
  ++done;
  return unused;
}
static void* make_threads(void* unused) {
  while (!over) {
    pthread_t threads[20];
    for (int i = 0; i < 20; ++i) {
      if (pthread_create(&threads[i], NULL, end_at_once, NULL) != 0) abort();
    }
    for (int i = 0; i < 20; ++i) pthread_join(threads[i], NULL);
  }
  return unused;
}

static void* nap(void* unused) {
  while (!over) usleep(1000);
  return unused;
}

static void on_signal(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  if (info->si_pid == getpid() && info->si_value.sival_int == 7) {
    ++handled;
  } else {
    ++strange;
  }
}
static void* send_signals(void* unused) {
  union sigval value = {.sival_int = 7};
  while (!over) {
    if (sigqueue(getpid(), SIGRTMAX - 1, value) == 0) ++sent;
    usleep(1000);
  }
  return unused;
}

int main(int count, char** arguments) {
  const char* kind = count > 1 ? arguments[1] : "";
  void* (*routine)(void*) = nap;
  if (strcmp(kind, "forks") == 0) routine = fork_children;
  if (strcmp(kind, "threads") == 0) routine = make_threads;
  if (strcmp(kind, "blocked") == 0) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
  }
  if (strcmp(kind, "own") == 0) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMAX - 1, &action, NULL);
    routine = send_signals;
  }
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, routine, NULL);
  usleep(100000);
  puts("ready");
  fflush(stdout);
  getchar();
  over = 1;
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  usleep(100000);
  if (sent != handled || strange != 0) {
    fprintf(stderr, "sent %ld, handled %ld, not sent by us %ld\n", sent, handled, strange);
    return 1;
  }
  printf("%ld\n", done);
  return 0;
}
