// daemon(3), and a double fork by hand, then threads: as servers start. The grandchild's threads work on
// sockets and pipes that it inherited, its terminal and standard streams are gone, and it reports through a
// pipe.
#include "loopback.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int report[2], listener;

static void* serve(void* argument) {
  int descriptor = accept(listener, NULL, NULL);
  char byte;
  CHECK(descriptor >= 0 && read(descriptor, &byte, 1) == 1 && write(descriptor, &byte, 1) == 1 &&
        close(descriptor) == 0);
  return argument;
}

static void run_daemon(void) {
  pthread_t threads[10];
  char text[64];
  for (int i = 0; i < 10; ++i) threads[i] = start_thread(serve, NULL);
  for (int i = 0; i < 10; ++i) join_thread(threads[i]);
  struct stat null, zero;
  CHECK(stat("/dev/null", &null) == 0 && fstat(0, &zero) == 0);
  int length = snprintf(text, sizeof text, "null %d", null.st_rdev == zero.st_rdev);
  CHECK(write(report[1], text, (size_t)length) == length);
  _exit(0);
}

static void* echo_once(void* argument) {
  int descriptor = connect_loopback((int)(intptr_t)argument);
  char byte = 'x';
  CHECK(write(descriptor, &byte, 1) == 1 && read(descriptor, &byte, 1) == 1 && close(descriptor) == 0);
  return NULL;
}

static void use_daemon(const char* name) {
  char text[64];
  int port = bound_port(listener);
  pthread_t threads[10];
  for (int i = 0; i < 10; ++i) threads[i] = start_thread(echo_once, number_pointer(port));
  for (int i = 0; i < 10; ++i) join_thread(threads[i]);
  CHECK(close(report[1]) == 0);
  size_t length = read_all(report[0], text, sizeof text);
  SAY("%s: %.*s", name, (int)length, text);
  CHECK(close(report[0]) == 0);
}

static void* nothing(void* argument) {
  return argument;
}

int main(void) {
  listener = listen_loopback(16);
  for (int round = 0; round < 3; ++round) {
    CHECK(pipe(report) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      if (round == 0) {
        CHECK(daemon(1, 0) == 0);
      } else {
        CHECK(setsid() > 0);
        if (round == 2) join_thread(start_thread(nothing, NULL));  // threads before the second fork, too
        pid_t second = fork();
        if (second != 0) _exit(second < 0);
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; ++i) CHECK(dup2(null, i) == i);
      }
      run_daemon();
    }
    use_daemon(round == 0 ? "daemon" : "double fork");
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (round == 0) join_thread(start_thread(nothing, NULL));  // from now on the parent has had threads
  }
  return 0;
}
