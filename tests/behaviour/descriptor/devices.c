// Devices: those that never wait, those that do (a tun device, a terminal's other end), and their errors,
// read by threads.
#include "check.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/random.h>

static void* never_wait(void* argument) {
  char buffer[4096];
  memset(buffer, 1, sizeof buffer);
  int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR), full = open("/dev/full", O_RDWR);
  int random = open("/dev/random", O_RDONLY), urandom = open("/dev/urandom", O_RDONLY);
  CHECK(zero >= 0 && null >= 0 && full >= 0 && random >= 0 && urandom >= 0);
  CHECK(read(zero, buffer, sizeof buffer) == sizeof buffer && buffer[0] == 0 && buffer[4095] == 0);
  CHECK(read(null, buffer, sizeof buffer) == 0 && write(null, buffer, sizeof buffer) == sizeof buffer);
  CHECK_ERRNO(write(full, buffer, 1), ENOSPC);
  CHECK(read(full, buffer, 16) == 16);
  CHECK(read(random, buffer, 64) == 64 && read(urandom, buffer, 64) == 64 && getrandom(buffer, 64, 0) == 64);
  void* volatile nowhere = (void*)16;
  CHECK_ERRNO(read(zero, nowhere, 16), EFAULT);
  struct pollfd entries[] = {{zero, POLLIN | POLLOUT, 0}, {null, POLLIN | POLLOUT, 0}, {random, POLLIN, 0}};
  CHECK(poll(entries, 3, -1) == 3 && entries[0].revents == (POLLIN | POLLOUT));
  CHECK(close(zero) == 0 && close(null) == 0 && close(full) == 0 && close(random) == 0 &&
        close(urandom) == 0);
  return argument;
}

static void* read_terminal(void* argument) {
  char line[64];
  ssize_t count = read((int)(intptr_t)argument, line, sizeof line);
  return number_pointer(count < 0 ? -errno : count);
}

static void terminal(void) {
  int master, slave;
  CHECK(openpty(&master, &slave, NULL, NULL, NULL) == 0);
  pthread_t line = start_thread(read_terminal, number_pointer(slave));
  nap(10);
  CHECK(write(master, "half", 4) == 4);
  nap(10);
  CHECK(write(master, " line\nrest", 10) == 10);
  SAY("a line of %d bytes", (int)(intptr_t)join_thread(line));
  pthread_t hung_up = start_thread(read_terminal, number_pointer(slave));
  nap(20);
  CHECK(close(master) == 0);
  SAY("hung up: %d", (int)(intptr_t)join_thread(hung_up));
  CHECK(close(slave) == 0);
}

static void* read_packet(void* argument) {
  char packet[2048];
  return number_pointer(read((int)(intptr_t)argument, packet, sizeof packet) > 0);
}

static void tun(void) {
  int device = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (device < 0 || ioctl(device, TUNSETIFF, &request) != 0) return;
  pthread_t reader = start_thread(read_packet, number_pointer(device));
  nap(10);
  CHECK(pthread_cancel(reader) == 0 && join_thread(reader) == PTHREAD_CANCELED);
  CHECK(close(device) == 0);
}

int main(void) {
  never_wait(NULL);
  pthread_t threads[20];
  for (int i = 0; i < 20; ++i) threads[i] = start_thread(never_wait, NULL);
  for (int i = 0; i < 20; ++i) join_thread(threads[i]);
  SAY("never wait");
  terminal();
  tun();
  return 0;
}
