// connect(2) to a unix socket whose backlog is full waits for room, with O_NONBLOCK says EAGAIN, with
// SO_SNDTIMEO gives up; other threads go on, and all get in.
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { clients = 40 };

static struct sockaddr_un address;
static socklen_t address_length;
static atomic_int connected, interrupted, trying;

static int new_socket(void) {
  int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(descriptor >= 0);
  return descriptor;
}

static int connect_there(int descriptor) {
  return connect(descriptor, (struct sockaddr*)&address, address_length);
}

static void* one_client(void* argument) {
  int descriptor = new_socket();
  char byte = 0;
  CHECK(connect_there(descriptor) == 0);
  atomic_fetch_add(&connected, 1);
  CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0);
  CHECK(recv(descriptor, &byte, 1, 0) == 1 && byte == 'w');
  CHECK(close(descriptor) == 0);
  return argument;
}

static void* gives_up(void* argument) {
  int descriptor = new_socket();
  struct timeval time = {0, 60000};
  struct timespec end = clock_after(CLOCK_MONOTONIC, 50);
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
  CHECK_ERRNO(connect_there(descriptor), EAGAIN);
  CHECK(clock_reached(CLOCK_MONOTONIC, end));
  CHECK(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0);
  CHECK_ERRNO(connect_there(descriptor), EAGAIN);
  CHECK(close(descriptor) == 0);
  return argument;
}

static void on_signal(int number) {
  (void)number;
  atomic_fetch_add(&interrupted, 1);
}

static void* is_interrupted(void* argument) {
  int descriptor = new_socket();
  atomic_store(&trying, 1);
  CHECK_ERRNO(connect_there(descriptor), EINTR);
  atomic_store(&trying, 2);
  CHECK(close(descriptor) == 0);
  return argument;
}

static void* is_cancelled(void* argument) {
  connect_there(new_socket());
  CHECK(!"cancelled");
  return argument;
}

int main(void) {
  int listener = new_socket();
  address.sun_family = AF_UNIX;
  int length =
      snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "coshim-backlog-%d", (int)getpid());
  address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
  CHECK(bind(listener, (struct sockaddr*)&address, address_length) == 0 && listen(listener, 1) == 0);
  pthread_t threads[clients];
  for (int i = 0; i < clients; ++i) threads[i] = start_thread(one_client, NULL);
  while (atomic_load(&connected) < 2) nap(1);
  nap(30);
  CHECK(atomic_load(&connected) == 2 && "a backlog of 1 takes 2");
  gives_up(NULL);
  join_thread(start_thread(gives_up, NULL));

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  pthread_t thread = start_thread(is_interrupted, NULL);
  while (atomic_load(&trying) == 0) nap(1);
  do {  // until it has come in the call and not before
    nap(20);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    nap(20);
  } while (atomic_load(&trying) != 2);
  join_thread(thread);
  thread = start_thread(is_cancelled, NULL);
  nap(10);
  CHECK(pthread_cancel(thread) == 0 && join_thread(thread) == PTHREAD_CANCELED);
  SAY("full: time-out, EAGAIN, a signal, cancelled");

  for (int i = 0; i < clients; ++i) {
    int descriptor = accept(listener, NULL, NULL);
    CHECK(descriptor >= 0 && send(descriptor, "w", 1, MSG_NOSIGNAL) == 1 && close(descriptor) == 0);
  }
  for (int i = 0; i < clients; ++i) join_thread(threads[i]);
  SAY("%d clients connected", atomic_load(&connected));
  CHECK(close(listener) == 0);
  return 0;
}
