// The flags of an open file description are the program's: while a thread is blocked in a call, neither
// another thread nor a child process, which shares the description, sees O_NONBLOCK.
#include "loopback.h"

#include <fcntl.h>
#include <sys/wait.h>

enum { kinds = 6 };

static const char* const kind_name[kinds] = {"pipe",     "unix socket", "tcp socket",
                                             "listener", "full pipe",   "full socket"};
static int blocking[kinds], other_end[kinds];
static int go_on[2];

static void* block(void* argument) {
  static char large[4 << 20];
  char byte;
  int kind = (int)(intptr_t)argument, descriptor = blocking[kind];
  if (kind == 0) {
    CHECK(read(descriptor, &byte, 1) == 1);
  } else if (kind < 3) {
    CHECK(recv(descriptor, &byte, 1, 0) == 1);
  } else if (kind == 3) {
    CHECK(accept(descriptor, NULL, NULL) >= 0);
  } else {
    CHECK(write(descriptor, large, sizeof large) == sizeof large);
  }
  return NULL;
}

static void open_all(void) {
  int ends[2];
  CHECK(pipe(go_on) == 0);
  CHECK(pipe(ends) == 0);
  blocking[0] = ends[0], other_end[0] = ends[1];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  blocking[1] = ends[0], other_end[1] = ends[1];
  blocking[3] = listen_loopback(5), other_end[3] = -1;
  other_end[2] = connect_loopback(bound_port(blocking[3]));
  blocking[2] = accept(blocking[3], NULL, NULL);
  CHECK(pipe(ends) == 0);
  blocking[4] = ends[1], other_end[4] = ends[0];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  blocking[5] = ends[0], other_end[5] = ends[1];
}

static void check_flags(void) {
  for (int kind = 0; kind < kinds; ++kind) {
    int flags = fcntl(blocking[kind], F_GETFL);
    CHECK(flags >= 0 && (flags & (O_NONBLOCK | O_ASYNC)) == 0);
  }
}

// In the child the call must block as well, as it does for anybody who inherits a blocking descriptor.
static void check_in_child(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    check_flags();
    char byte;
    CHECK(read(go_on[0], &byte, 1) == 1 && byte == 'g');
    check_flags();
    _exit(0);
  }
  nap(20);
  CHECK(write(go_on[1], "g", 1) == 1);
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void release(void) {
  static char large[4 << 20];
  for (int kind = 0; kind < 3; ++kind) CHECK(write(other_end[kind], "x", 1) == 1);
  connect_loopback(bound_port(blocking[3]));
  for (int kind = 4; kind < kinds; ++kind)
    CHECK(read_all(other_end[kind], large, sizeof large) == sizeof large);
}

static void* check_as_thread(void* argument) {
  check_flags();
  check_in_child();
  return argument;
}

int main(void) {
  open_all();
  pthread_t thread[kinds];
  for (int kind = 0; kind < kinds; ++kind) thread[kind] = start_thread(block, number_pointer(kind));
  nap(50);
  check_flags();
  check_in_child();
  join_thread(start_thread(check_as_thread, NULL));
  release();
  for (int kind = 0; kind < kinds; ++kind) {
    join_thread(thread[kind]);
    SAY("%s", kind_name[kind]);
  }
  check_flags();
  return 0;
}
