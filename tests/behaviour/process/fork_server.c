// A parent with threads forks workers that share its listener, each of them with threads of its own: prefork
// and threads together.
#include "loopback.h"

#include <sys/wait.h>

enum { workers = 3, threads = 5, requests = 60 };

static int listener;

static void* serve(void* argument) {
  for (;;) {
    int descriptor = accept(listener, NULL, NULL);
    CHECK(descriptor >= 0);
    char letter;
    CHECK(recv(descriptor, &letter, 1, 0) == 1);
    pid_t own = getpid();
    send_all(descriptor, &own, sizeof own);
    CHECK(close(descriptor) == 0);
    if (letter == 'q') return argument;
  }
}

static pid_t ask(char letter) {
  pid_t answer = 0;
  int descriptor = connect_loopback(bound_port(listener));
  send_all(descriptor, &letter, 1);
  CHECK(read_all(descriptor, &answer, sizeof answer) == sizeof answer);
  CHECK(close(descriptor) == 0);
  return answer;
}

static void* ask_often(void* argument) {
  const pid_t* child = (const pid_t*)argument;
  for (int i = 0; i < requests; ++i) {
    pid_t answer = ask('r');
    CHECK(answer == child[0] || answer == child[1] || answer == child[2]);
  }
  return NULL;
}

static void* nothing(void* argument) {
  return argument;
}

int main(void) {
  pid_t child[workers];
  join_thread(start_thread(nothing, NULL));
  listener = listen_loopback(100);
  for (int i = 0; i < workers; ++i) {
    CHECK((child[i] = fork()) >= 0);
    if (child[i] == 0) {
      pthread_t thread[threads];
      for (int t = 0; t < threads; ++t) thread[t] = start_thread(serve, NULL);
      for (int t = 0; t < threads; ++t) join_thread(thread[t]);
      _exit(20 + i);
    }
  }
  pthread_t asking[4];
  for (int i = 0; i < 4; ++i) asking[i] = start_thread(ask_often, child);
  for (int i = 0; i < 4; ++i) join_thread(asking[i]);
  for (int i = 0; i < workers * threads; ++i) ask('q');
  for (int i = 0; i < workers; ++i) {
    int status;
    CHECK(waitpid(child[i], &status, 0) == child[i] && WEXITSTATUS(status) == 20 + i);
  }
  SAY("%d workers answered", workers);
  return 0;
}
