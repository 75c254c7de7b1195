// Calls that ask somebody else: getaddrinfo_a(3), getnameinfo(3), res_query(3) against a name server that is
// one of the program's own threads, syslog(3) to a socket nobody may have, name services of users and
// services, from many threads.
#include "loopback.h"

#include <arpa/nameser.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <resolv.h>
#include <syslog.h>

enum { askers = 24 };

static int server_port;

// Answers each question with one address: enough of RFC 1035 for one question.
static void* name_server(void* argument) {
  int descriptor = (int)(intptr_t)argument;
  for (;;) {
    unsigned char packet[512];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t count = recvfrom(descriptor, packet, sizeof packet, 0, (struct sockaddr*)&from, &length);
    if (count == 4) break;
    CHECK(count > 12 && count < 400);
    ssize_t end = 12;
    while (packet[end] != 0) end += packet[end] + 1;
    end += 5;
    static const unsigned char answer[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3};
    packet[2] = 0x81;
    packet[3] = 0x80;
    packet[6] = 0;
    packet[7] = 1;
    memset(packet + 8, 0, 4);
    memcpy(packet + end, answer, sizeof answer);
    nap(5);
    CHECK(sendto(descriptor, packet, (size_t)end + sizeof answer, 0, (struct sockaddr*)&from, length) > 0);
  }
  return NULL;
}

static void ask_server(void) {
  struct __res_state state;
  memset(&state, 0, sizeof state);
  CHECK(res_ninit(&state) == 0);
  state.nscount = 1;
  state.nsaddr_list[0] = loopback_address(server_port);
  state.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
  state.retrans = 30;
  unsigned char answer[512];
  int length = res_nquery(&state, "host.example", C_IN, T_A, answer, sizeof answer);
  CHECK(length > 16 && memcmp(answer + length - 4, "\x0a\x01\x02\x03", 4) == 0);
  res_nclose(&state);
}

static void ask_addresses(void) {
  static const char* const names[] = {"127.0.0.1", "::1", "10.0.0.1", "192.0.2.7"};
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  // On the heap: the helpers of glibc fill them in.
  struct gaicb* requests = calloc(4, sizeof *requests);
  struct gaicb** list = calloc(4, sizeof *list);
  struct addrinfo* shared_hints = malloc(sizeof hints);
  CHECK(requests != NULL && list != NULL && shared_hints != NULL);
  *shared_hints = hints;
  for (int i = 0; i < 4; ++i) {
    requests[i].ar_name = names[i];
    requests[i].ar_request = shared_hints;
    list[i] = &requests[i];
  }
  CHECK(getaddrinfo_a(GAI_WAIT, list, 4, NULL) == 0);
  for (int i = 0; i < 4; ++i) CHECK(gai_error(list[i]) == 0 && requests[i].ar_result != NULL);
  for (int i = 0; i < 4; ++i) freeaddrinfo(requests[i].ar_result);
  memset(requests, 0, 4 * sizeof *requests);
  for (int i = 0; i < 4; ++i) {
    requests[i].ar_name = names[i];
    requests[i].ar_request = shared_hints;
  }
  CHECK(getaddrinfo_a(GAI_NOWAIT, list, 4, NULL) == 0);
  int left = 4;
  while (left > 0) {
    nap(1);  // gai_suspend(3) of glibc 2.36 crashes natively when several threads use it
    left = 0;
    for (int i = 0; i < 4; ++i) left += gai_error(list[i]) == EAI_INPROGRESS;
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(gai_error(list[i]) == 0);
    freeaddrinfo(requests[i].ar_result);
  }
  free(shared_hints);
  free(list);
  free(requests);
}

static void* ask(void* argument) {
  char text[NI_MAXHOST], buffer[4096];
  struct sockaddr_in address = loopback_address(80);
  ask_server();
  ask_addresses();
  CHECK(getnameinfo((struct sockaddr*)&address, sizeof address, text, sizeof text, NULL, 0, NI_NUMERICHOST) ==
        0);
  CHECK(strcmp(text, "127.0.0.1") == 0);
  struct passwd user, *found = NULL;
  CHECK(getpwuid_r(0, &user, buffer, sizeof buffer, &found) == 0 && found != NULL &&
        strcmp(user.pw_name, "root") == 0);
  struct group group, *found_group = NULL;
  CHECK(getgrnam_r("root", &group, buffer, sizeof buffer, &found_group) == 0 && found_group != NULL);
  syslog(LOG_DEBUG, "a line of thread %d", (int)(intptr_t)argument);
  return argument;
}

int main(void) {
  int descriptor = bind_loopback(SOCK_DGRAM);
  server_port = bound_port(descriptor);
  openlog("behaviour", LOG_PID | LOG_NDELAY, LOG_USER);
  setlogmask(LOG_UPTO(LOG_DEBUG));
  pthread_t server = start_thread(name_server, number_pointer(descriptor)), threads[askers];
  for (int i = 0; i < askers; ++i) threads[i] = start_thread(ask, number_pointer(i));
  for (int i = 0; i < askers; ++i) CHECK(join_thread(threads[i]) == number_pointer(i));
  closelog();
  int end = bind_loopback(SOCK_DGRAM);
  struct sockaddr_in address = loopback_address(server_port);
  CHECK(sendto(end, "stop", 4, 0, (struct sockaddr*)&address, sizeof address) == 4);
  join_thread(server);
  SAY("%d threads were answered", askers);
  return 0;
}
