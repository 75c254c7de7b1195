// 200 threads look up names at a name server that is a thread of the same program, slow, and at first looks
// up names itself: all are answered, and other threads go on meanwhile.
#include "loopback.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdatomic.h>

#define CLIENTS 200

static int server_socket;
static atomic_int ticks, over;

static void* tick(void* argument) {
  (void)argument;
  while (!atomic_load(&over)) {
    nap(1);
    atomic_fetch_add(&ticks, 1);
  }
  return NULL;
}

// Answers every query with the address 10.1.2.3.
static void* serve(void* argument) {
  static const unsigned char answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3};
  int looked_up = 0;
  (void)argument;
  for (;;) {
    unsigned char packet[512 + sizeof answer];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t size = recvfrom(server_socket, packet, 512, 0, (struct sockaddr*)&from, &length);
    CHECK(size >= 0);
    if (size == 0) return NULL;
    if (looked_up++ == 0) {
      struct addrinfo hints = {.ai_family = AF_INET, .ai_flags = AI_NUMERICHOST}, *result;
      CHECK(getaddrinfo("127.0.0.1", NULL, &hints, &result) == 0);
      freeaddrinfo(result);
    }
    packet[2] |= 0x80;  // a response
    packet[6] = 0, packet[7] = 1;
    packet[10] = packet[11] = 0;
    size_t question = 12 + strlen((char*)packet + 12) + 5;
    memcpy(packet + question, answer, sizeof answer);
    nap(2);
    CHECK(sendto(server_socket, packet, question + sizeof answer, 0, (struct sockaddr*)&from, length) > 0);
  }
}

static void* look_up(void* argument) {
  struct __res_state state;
  memset(&state, 0, sizeof state);
  CHECK(res_ninit(&state) == 0);
  state.nscount = 1;
  state.retrans = 30;
  state.retry = 2;
  state.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
  state.nsaddr_list[0] = loopback_address(bound_port(server_socket));
  unsigned char answer[512];
  char name[32];
  snprintf(name, sizeof name, "host%d.test", (int)(intptr_t)argument);
  int size = res_nquery(&state, name, C_IN, T_A, answer, sizeof answer);
  CHECK(size > 16 && memcmp(answer + size - 4, "\12\1\2\3", 4) == 0);
  res_nclose(&state);
  return NULL;
}

int main(void) {
  pthread_t threads[CLIENTS];
  server_socket = bind_loopback(SOCK_DGRAM);
  pthread_t server = start_thread(serve, NULL), ticker = start_thread(tick, NULL);
  for (int i = 0; i < 20; ++i) threads[i] = start_thread(look_up, number_pointer(i));
  for (int i = 0; i < 20; ++i) join_thread(threads[i]);
  for (int i = 0; i < CLIENTS; ++i) threads[i] = start_thread(look_up, number_pointer(i));
  for (int i = 0; i < CLIENTS; ++i) join_thread(threads[i]);
  atomic_store(&over, 1);
  join_thread(ticker);
  CHECK(atomic_load(&ticks) > 20);
  struct sockaddr_in address = loopback_address(bound_port(server_socket));
  int client = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(sendto(client, "", 0, 0, (struct sockaddr*)&address, sizeof address) == 0);
  join_thread(server);
  SAY("%d names", CLIENTS);
  return 0;
}
