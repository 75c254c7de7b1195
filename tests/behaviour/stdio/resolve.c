// getaddrinfo(3), getnameinfo(3), gethostbyname_r(3) from 50 threads at once, of names that need no network.
#include "check.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

enum { threads = 50 };

static void* resolve(void* argument) {
  struct addrinfo hints, *list;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  CHECK(getaddrinfo("localhost", "80", &hints, &list) == 0 && list != NULL);
  struct sockaddr_in* address = (struct sockaddr_in*)list->ai_addr;
  CHECK(address->sin_addr.s_addr == htonl(INADDR_LOOPBACK) && address->sin_port == htons(80));
  freeaddrinfo(list);
  hints.ai_flags = AI_NUMERICHOST;
  CHECK(getaddrinfo("127.0.0.7", "7", &hints, &list) == 0);
  char host[64], service[16];
  CHECK(getnameinfo(list->ai_addr, list->ai_addrlen, host, sizeof host, service, sizeof service,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0);
  CHECK(strcmp(host, "127.0.0.7") == 0 && strcmp(service, "7") == 0);
  freeaddrinfo(list);
  CHECK(getaddrinfo("not a number", NULL, &hints, &list) == EAI_NONAME);
  struct hostent entry, *found = NULL;
  char buffer[2000];
  int error = 0;
  CHECK(gethostbyname_r("localhost", &entry, buffer, sizeof buffer, &found, &error) == 0 && found == &entry);
  CHECK(*(in_addr_t*)entry.h_addr_list[0] == htonl(INADDR_LOOPBACK));
  return argument;
}

int main(void) {
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(resolve, NULL);
  resolve(NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  SAY("resolved by %d threads", threads);
  return 0;
}
