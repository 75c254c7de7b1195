// unix(7): stream, datagram and seqpacket sockets with names; accept and connect in threads.
#include "check.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un named(const char* name) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, name);
  return address;
}

static int bound(int type, const char* name) {
  int descriptor = socket(AF_UNIX, type, 0);
  struct sockaddr_un address = named(name);
  CHECK(descriptor >= 0 && bind(descriptor, (struct sockaddr*)&address, sizeof address) == 0);
  return descriptor;
}

static void* accept_and_answer(void* argument) {
  char buffer[32];
  int descriptor = accept(*(int*)argument, NULL, NULL);
  CHECK(descriptor >= 0);
  ssize_t count;
  while ((count = recv(descriptor, buffer, sizeof buffer, 0)) > 0) {
    CHECK(send(descriptor, buffer, (size_t)count, 0) == count);
  }
  CHECK(count == 0 && close(descriptor) == 0);
  return NULL;
}

static void connected(int type, const char* name) {
  int listener = bound(type, name);
  CHECK(listen(listener, 5) == 0);
  pthread_t server = start_thread(accept_and_answer, &listener);
  int descriptor = socket(AF_UNIX, type, 0);
  struct sockaddr_un address = named(name);
  char buffer[32];
  CHECK(connect(descriptor, (struct sockaddr*)&address, sizeof address) == 0);
  for (int size = 1; size <= 20; size += 3) {
    CHECK(send(descriptor, "abcdefghijklmnopqrst", (size_t)size, 0) == size);
    CHECK(recv(descriptor, buffer, sizeof buffer, 0) == size && "a record stays a record");
  }
  CHECK(close(descriptor) == 0);
  join_thread(server);
  CHECK(close(listener) == 0 && unlink(name) == 0);
  SAY("%s", name);
}

static void* receive_three(void* argument) {
  for (int size = 3; size > 0; --size) {
    char buffer[32];
    struct sockaddr_un from;
    socklen_t length = sizeof from;
    CHECK(recvfrom(*(int*)argument, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &length) == size);
    CHECK(strcmp(from.sun_path, "sender") == 0);
  }
  return NULL;
}

static void datagrams(void) {
  int receiver = bound(SOCK_DGRAM, "receiver"), sender = bound(SOCK_DGRAM, "sender");
  pthread_t thread = start_thread(receive_three, &receiver);
  struct sockaddr_un address = named("receiver");
  for (int size = 3; size > 0; --size) {
    nap(5);
    CHECK(sendto(sender, "abc", (size_t)size, 0, (struct sockaddr*)&address, sizeof address) == size);
  }
  join_thread(thread);
  CHECK(close(receiver) == 0);
  CHECK_ERRNO(sendto(sender, "x", 1, 0, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  SAY("datagrams");
}

static void* run_all(void* argument) {
  connected(SOCK_STREAM, "stream");
  connected(SOCK_SEQPACKET, "seqpacket");
  datagrams();
  CHECK(unlink("receiver") == 0 && unlink("sender") == 0);
  return argument;
}

int main(void) {
  run_all(NULL);
  join_thread(start_thread(run_all, NULL));
  return 0;
}
