// A library starts threads before main, and replaces connect(2) and usleep(3): it gets every call of them,
// from threads too, and what they do is what libc's do. With an argument: nothing but native threads are
// expected.
#include "check.h"
//
#include <dirent.h>

#include "loopback.h"
#include "other_library.h"

static int kernel_threads(void) {
  DIR* directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int count = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

enum { kClients = 10 };  // each holds a kernel thread in the library, of 24 that there may be
static int port;

static void* client(void* unused) {
  usleep(1000);
  int fd = connect_loopback(port);
  char byte;
  CHECK(read(fd, &byte, 1) == 1 && byte == 'x');
  close(fd);
  return unused;
}

static void* server(void* listener) {
  for (int i = 0; i < kClients; ++i) {
    int fd = accept((int)(intptr_t)listener, NULL, NULL);
    CHECK(fd >= 0);
    CHECK(write(fd, "x", 1) == 1);
    close(fd);
  }
  return NULL;
}

int main(int argc, char** argv) {
  (void)argv;
  if (argc > 1) CHECK(kernel_threads() > kEarlyThreads);
  nap(50);  // long enough for whoever counts kernel threads
  int listener = listen_loopback(32);
  port = bound_port(listener);
  pthread_t clients[kClients], acceptor = start_thread(server, number_pointer(listener));
  for (int i = 0; i < kClients; ++i) clients[i] = start_thread(client, NULL);
  for (int i = 0; i < kClients; ++i) join_thread(clients[i]);
  join_thread(acceptor);
  SAY("%d connects, %d sleeps through the library", connects_seen(), sleeps_seen());
  usleep(1);
  CHECK(sleeps_seen() == kClients + 1);
  end_early_threads();
  SAY("early threads ended");
  return 0;
}
