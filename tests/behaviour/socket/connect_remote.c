// Connections to another host that never answers, in a network namespace of our own whose only way out is a
// tun device that nobody reads: SO_SNDTIMEO, a signal, connect(2) again, and many at once. Skipped (77) where
// no namespace can be had.
#include "loopback.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#define CONNECTIONS 1000

static struct sockaddr_in remote;

static void to_a_namespace(void) {
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) _exit(77);
  int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  strcpy(request.ifr_name, "hole");
  if (tun < 0 || ioctl(tun, TUNSETIFF, &request) != 0) _exit(77);
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in own = loopback_address(0);
  own.sin_addr.s_addr = inet_addr("10.77.0.1");
  memcpy(&request.ifr_addr, &own, sizeof own);
  CHECK(control >= 0 && ioctl(control, SIOCSIFADDR, &request) == 0);
  own.sin_addr.s_addr = inet_addr("255.255.255.0");
  memcpy(&request.ifr_netmask, &own, sizeof own);
  CHECK(ioctl(control, SIOCSIFNETMASK, &request) == 0);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  CHECK(ioctl(control, SIOCSIFFLAGS, &request) == 0 && close(control) == 0);
  remote = loopback_address(80);
  remote.sin_addr.s_addr = inet_addr("10.77.0.2");
}

static int connect_remote(int descriptor) {
  return connect(descriptor, (struct sockaddr*)&remote, sizeof remote);
}

static int remote_socket(long timeout) {
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  struct timeval time = {timeout / 1000, timeout % 1000 * 1000};
  CHECK(descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) == 0);
  return descriptor;
}

static void* times_out(void* argument) {
  int descriptor = remote_socket(50);
  CHECK_ERRNO(connect_remote(descriptor), EINPROGRESS);
  CHECK_ERRNO(connect_remote(descriptor), EALREADY);
  CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0);
  CHECK(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0);
  CHECK_ERRNO(connect_remote(descriptor), EALREADY);
  CHECK(close(descriptor) == 0);
  return argument;
}

// Returns when somebody's connect(2) has sent its SYN: from then on it is waiting (the kernel answers a
// question about the state only when it has let go of the socket, which it does in order to wait).
static void until_connecting(int descriptor) {
  struct tcp_info info;
  do {
    socklen_t length = sizeof info;
    nap(1);
    CHECK(getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
  } while (info.tcpi_state != TCP_SYN_SENT);
}

static atomic_int handled;
static void handle(int number) {
  (void)number;
  atomic_fetch_add(&handled, 1);
}

static void* is_interrupted(void* argument) {
  CHECK_ERRNO(connect_remote(*(int*)argument), EINTR);
  return argument;
}

static void* is_shut_down(void* argument) {
  CHECK(connect_remote(*(int*)argument) == -1);
  return number_pointer(errno);
}

static atomic_int begun;
static void* one_of_many(void* argument) {
  int descriptor = remote_socket(700);
  atomic_fetch_add(&begun, 1);
  CHECK_ERRNO(connect_remote(descriptor), EINPROGRESS);
  CHECK((fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0);
  CHECK(close(descriptor) == 0);
  return argument;
}

int main(void) {
  static pthread_t threads[CONNECTIONS];
  to_a_namespace();
  times_out(NULL);
  join_thread(start_thread(times_out, NULL));

  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  pthread_t thread = start_thread(is_interrupted, &descriptor);
  until_connecting(descriptor);
  CHECK(pthread_kill(thread, SIGUSR1) == 0);
  join_thread(thread);
  CHECK(atomic_load(&handled) == 1 && close(descriptor) == 0);

  descriptor = socket(AF_INET, SOCK_STREAM, 0);
  thread = start_thread(is_shut_down, &descriptor);
  until_connecting(descriptor);
  int how = shutdown(descriptor, SHUT_RDWR);
  SAY("shutdown %d, connect ends with error %d", how, (int)(intptr_t)join_thread(thread));
  CHECK(close(descriptor) == 0);

  pthread_attr_t small;
  CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 65536) == 0);
  for (int i = 0; i < CONNECTIONS; ++i) CHECK(pthread_create(&threads[i], &small, one_of_many, NULL) == 0);
  while (atomic_load(&begun) < CONNECTIONS) nap(1);
  for (int i = 0; i < CONNECTIONS; ++i) join_thread(threads[i]);
  SAY("%d timed out", CONNECTIONS);
  return 0;
}
