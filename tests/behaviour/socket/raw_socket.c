// A raw ICMP socket (raw(7)) read by several threads: an echo to the loopback, its request and its answer.
// Skipped (77) without CAP_NET_RAW.
#include "loopback.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>

enum { echoes = 20 };

static uint16_t checksum(const void* data, size_t length) {
  const uint16_t* words = data;
  uint32_t sum = 0;
  for (size_t i = 0; i < length / 2; ++i) sum += words[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static void* wait_for_answers(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  char packet[256];
  int seen = 0;
  while (seen < echoes) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(descriptor, packet, sizeof packet, 0, (struct sockaddr*)&from, &length);
    CHECK(count >= (ssize_t)(sizeof(struct iphdr) + sizeof(struct icmphdr)));
    CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK) || from.sin_family == AF_INET);
    const struct icmphdr* header = (const struct icmphdr*)(packet + sizeof(struct iphdr));
    if (header->type == ICMP_ECHOREPLY && header->un.echo.id == htons((uint16_t)getpid()) &&
        header->un.echo.sequence == htons((uint16_t)seen))
      ++seen;
  }
  return number_pointer(seen);
}

int main(void) {
  int sockets[3];
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) {
    sockets[i] = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (sockets[i] < 0 && (errno == EPERM || errno == EACCES)) return 77;
    CHECK(sockets[i] >= 0);
    threads[i] = start_thread(wait_for_answers, number_pointer(sockets[i]));
  }
  struct sockaddr_in address = loopback_address(0);
  for (int i = 0; i < echoes; ++i) {
    struct icmphdr header;
    memset(&header, 0, sizeof header);
    header.type = ICMP_ECHO;
    header.un.echo.id = htons((uint16_t)getpid());
    header.un.echo.sequence = htons((uint16_t)i);
    header.checksum = checksum(&header, sizeof header);
    CHECK(sendto(sockets[0], &header, sizeof header, 0, (struct sockaddr*)&address, sizeof address) ==
          sizeof header);
    nap(2);
  }
  for (int i = 0; i < 3; ++i) SAY("%d answers", (int)(intptr_t)join_thread(threads[i]));
  return 0;
}
