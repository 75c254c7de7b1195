// Load for the echo servers: one thread, epoll, N connections, one 64-byte message under way on each; every
// reply is checked. Usage: echo_load PORT CONNECTIONS SECONDS         prints: messages seconds p50_us p99_us
//        echo_load PORT 0 SECONDS                   churn: connect, one message, close, in turn; the same
//        line
// Says "connected" first and waits for a line on stdin before it starts, and again before it disconnects: so
// the caller can look at the server.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr size_t kSize = 64;

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void fail(const char* what) {
  perror(what);
  exit(1);
}

int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fail("connect");
  return fd;
}

struct Connection {
  int fd;
  unsigned sequence;
  double sent_at;
};

void fill(const Connection& c, char* message) {
  memset(message, 'a' + static_cast<int>(c.sequence % 26), kSize);
  memcpy(message, &c.sequence, sizeof(c.sequence));
  memcpy(message + 4, &c.fd, sizeof(c.fd));
}

void send_message(Connection& c) {
  char message[kSize];
  ++c.sequence;
  fill(c, message);
  c.sent_at = now();
  if (send(c.fd, message, kSize, MSG_NOSIGNAL) != static_cast<ssize_t>(kSize)) fail("send");
}

void check_reply(Connection& c) {
  char got[kSize], expected[kSize];
  size_t length = 0;
  while (length < kSize) {
    ssize_t n = recv(c.fd, got + length, kSize - length, 0);
    if (n <= 0) fail("recv");
    length += static_cast<size_t>(n);
  }
  fill(c, expected);
  if (memcmp(got, expected, kSize) != 0) {
    fprintf(stderr, "echo_load: wrong bytes came back\n");
    exit(1);
  }
}

void wait_for_line() {
  for (int c; (c = getchar()) != '\n' && c != EOF;) {
  }
}

void print_result(double seconds, std::vector<float>& latencies) {
  std::sort(latencies.begin(), latencies.end());
  size_t n = latencies.size();
  printf("%zu %.3f %.1f %.1f\n", n, seconds, n ? latencies[n / 2] : 0, n ? latencies[n * 99 / 100] : 0);
  fflush(stdout);
}

void churn(int port, double seconds) {
  std::vector<float> latencies;
  double start = now();
  while (now() < start + seconds) {
    double from = now();
    Connection c{connect_to(port), 0, 0};
    send_message(c);
    check_reply(c);
    close(c.fd);
    latencies.push_back(static_cast<float>((now() - from) * 1e6));
  }
  print_result(now() - start, latencies);
}

void load(std::vector<Connection>& connections, double seconds) {
  int poll = epoll_create1(0);
  for (size_t i = 0; i < connections.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
  }
  std::vector<float> latencies;
  latencies.reserve(4000000);
  double start = now();
  for (Connection& c : connections) send_message(c);
  size_t under_way = connections.size();
  while (under_way > 0) {
    epoll_event events[256];
    int count = epoll_wait(poll, events, 256, 10000);
    if (count == 0) {
      fprintf(stderr, "echo_load: no reply for ten seconds\n");
      exit(1);
    }
    double time = now();
    for (int i = 0; i < count; ++i) {
      Connection& c = connections[events[i].data.u64];
      check_reply(c);
      latencies.push_back(static_cast<float>((now() - c.sent_at) * 1e6));
      if (time < start + seconds) {
        send_message(c);
      } else {
        --under_way;
      }
    }
  }
  print_result(now() - start, latencies);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: echo_load PORT CONNECTIONS SECONDS\n");
    return 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int port = atoi(argv[1]);
  std::vector<Connection> connections;
  for (int i = 0; i < atoi(argv[2]); ++i) connections.push_back({connect_to(port), 0, 0});
  // One message on each: every connection's thread exists and has run.
  for (Connection& c : connections) send_message(c);
  for (Connection& c : connections) check_reply(c);
  printf("connected\n");
  fflush(stdout);
  wait_for_line();
  if (connections.empty()) {
    churn(port, atof(argv[3]));
  } else {
    load(connections, atof(argv[3]));
  }
  wait_for_line();
  return 0;
}
