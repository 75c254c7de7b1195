// 150 threads send a large file with sendfile(2) to clients that read slowly, others by then not at all:
// every byte comes in its place, and the threads don't stop each other.
#include "loopback.h"

#include <fcntl.h>
#include <sys/sendfile.h>

#define CLIENTS 150
#define SIZE (1u << 20)

static int file, listener;
static unsigned char* content;

static void* send_it(void* argument) {
  off_t offset = 0;
  CHECK(sendfile((int)(intptr_t)argument, file, &offset, SIZE) == SIZE && offset == SIZE);
  CHECK(close((int)(intptr_t)argument) == 0);
  return NULL;
}

static void* receive_it(void* argument) {
  unsigned char part[8192];
  int descriptor = (int)(intptr_t)argument;
  for (unsigned done = 0; done < SIZE;) {
    ssize_t count = recv(descriptor, part, sizeof part, 0);
    CHECK(count > 0 && memcmp(part, content + done, (size_t)count) == 0);
    done += (unsigned)count;
    if (done % 65536 < 8192) sched_yield();
  }
  CHECK(recv(descriptor, part, 1, 0) == 0 && close(descriptor) == 0);
  return NULL;
}

int main(void) {
  static pthread_t senders[CLIENTS], receivers[CLIENTS];
  int clients[CLIENTS];
  content = malloc(SIZE);
  CHECK(content != NULL);
  for (unsigned i = 0; i < SIZE; ++i) content[i] = (unsigned char)(i * 2654435761u >> 15);
  file = open("file", O_RDWR | O_CREAT, 0600);
  CHECK(write(file, content, SIZE) == (ssize_t)SIZE);
  listener = listen_loopback(8);
  for (int i = 0; i < CLIENTS; ++i) {
    clients[i] = connect_loopback(bound_port(listener));
    int descriptor = accept(listener, NULL, NULL), small = 16384;
    CHECK(setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
    CHECK(setsockopt(clients[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
    senders[i] = start_thread(send_it, number_pointer(descriptor));
  }
  nap(100);
  for (int i = 0; i < CLIENTS; ++i) receivers[i] = start_thread(receive_it, number_pointer(clients[i]));
  for (int i = 0; i < CLIENTS; ++i) {
    join_thread(senders[i]);
    join_thread(receivers[i]);
  }
  SAY("%d files", CLIENTS);
  return 0;
}
