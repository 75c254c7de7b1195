// Load for the echo servers: one thread, epoll, 64-byte messages, each different and each reply checked.
//   echo_load load PORT CONNECTIONS SECONDS [IN_FLIGHT]  a closed loop: a reply sends the next message, on
//   the
//       connection that has been silent longest; IN_FLIGHT messages under way, default one on every
//       connection
//   echo_load churn PORT IN_FLIGHT SECONDS   connect, one message, close, IN_FLIGHT of them at a time
//   echo_load hold PORT CONNECTIONS          one message on each connection, then silence
// Says "connected" (load and hold: every connection has had a reply), waits for a line, runs, prints
// "MESSAGES SECONDS P50_US P99_US" (latencies; churn's from before connect), waits for a line, ends: so the
// caller can look at the server in between. No reply for ten seconds, or a wrong one: status 1.
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
#include <deque>
#include <vector>

namespace {

constexpr size_t kSize = 64;
constexpr int kPatienceSeconds = 10;

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

[[noreturn]] void fail(const char* what) {
  fprintf(stderr, "echo_load: %s\n", what);
  exit(1);
}

[[noreturn]] void fail_with_errno(const char* what) {
  perror(what);
  exit(1);
}

struct Connection {
  int fd = -1;
  unsigned index = 0;
  unsigned sequence = 0;
  double sent_at = 0;
};

void fill(const Connection& connection, char* message) {
  memset(message, 'a' + static_cast<int>((connection.index + connection.sequence) % 26), kSize);
  memcpy(message, &connection.index, sizeof(connection.index));
  memcpy(message + sizeof(connection.index), &connection.sequence, sizeof(connection.sequence));
}

void send_message(Connection& connection) {
  char message[kSize];
  ++connection.sequence;
  fill(connection, message);
  if (send(connection.fd, message, kSize, MSG_NOSIGNAL) != static_cast<ssize_t>(kSize))
    fail_with_errno("echo_load: send");
}

// Takes the whole reply; nothing may come after it.
void check_reply(const Connection& connection) {
  char got[2 * kSize], expected[kSize];
  size_t length = 0;
  while (length < kSize) {
    ssize_t n = recv(connection.fd, got + length, sizeof(got) - length, 0);
    if (n < 0) fail_with_errno("echo_load: recv");
    if (n == 0) fail("the server closed a connection");
    length += static_cast<size_t>(n);
  }
  fill(connection, expected);
  if (length != kSize || memcmp(got, expected, kSize) != 0) fail("wrong bytes came back");
}

// A run of connections out of 127.0.0.0/8 each has its own 28,000 ports: those in TIME_WAIT do not run out.
sockaddr_in source_address() {
  static unsigned next = 0;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + next++ % 200);
  return address;
}

int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  sockaddr_in source = source_address(), server{};
  server.sin_family = AF_INET;
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server.sin_port = htons(static_cast<uint16_t>(port));
  timeval patience{kPatienceSeconds, 0};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) != 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&source), sizeof(source)) != 0 ||
      connect(fd, reinterpret_cast<sockaddr*>(&server), sizeof(server)) != 0)
    fail_with_errno("echo_load: connect");
  return fd;
}

// Ends with a reset, so that no TIME_WAIT socket stays behind in the memory of the next measurement.
void abandon(const Connection& connection) {
  linger immediately{1, 0};
  setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &immediately, sizeof(immediately));
  close(connection.fd);
}

class Run {
 public:
  Run(int port, double seconds) : port_(port), seconds_(seconds), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  void open_connections(int count) {
    connections_.resize(static_cast<size_t>(count));
    for (size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].index = static_cast<unsigned>(i);
      open(connections_[i]);
    }
    for (Connection& connection : connections_) send_message(connection);
    for (Connection& connection : connections_) check_reply(connection);
  }

  void load(size_t in_flight) {
    std::deque<Connection*> silent;
    for (Connection& connection : connections_) silent.push_back(&connection);
    auto send_next = [&] {
      Connection& next = *silent.front();
      silent.pop_front();
      next.sent_at = now();
      send_message(next);
    };
    closed_loop(in_flight, send_next, [&](Connection& answered) { silent.push_back(&answered); });
    print_result();
  }

  void churn(size_t in_flight) {
    connections_.resize(in_flight);
    std::deque<Connection*> closed;
    for (Connection& connection : connections_) closed.push_back(&connection);
    auto connect_next = [&] {
      Connection& next = *closed.front();
      closed.pop_front();
      next.index = opened_++;
      next.sent_at = now();
      open(next);
      send_message(next);
    };
    closed_loop(in_flight, connect_next, [&](Connection& answered) {
      close(answered.fd);
      answered.fd = -1;
      closed.push_back(&answered);
    });
    print_result();
  }

  void abandon_all() const {
    for (const Connection& connection : connections_)
      if (connection.fd >= 0) abandon(connection);
  }

 private:
  void open(Connection& connection) {
    connection.fd = connect_to(port_);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    if (epoll_ctl(poller_, EPOLL_CTL_ADD, connection.fd, &event) != 0)
      fail_with_errno("echo_load: epoll_ctl");
  }

  // Every reply brings the next request, until the time is over; then those under way are waited for.
  template <typename Begin, typename End>
  void closed_loop(size_t in_flight, Begin begin_next, End end_one) {
    epoll_event events[256];
    double start = now(), end = start + seconds_;
    for (size_t i = 0; i < in_flight; ++i) begin_next();
    for (size_t under_way = in_flight; under_way > 0;) {
      int count = epoll_wait(poller_, events, 256, kPatienceSeconds * 1000);
      if (count == 0) fail("no reply for ten seconds");
      for (int i = 0; i < count; ++i) {
        auto& connection = *static_cast<Connection*>(events[i].data.ptr);
        check_reply(connection);
        double time = now();
        latencies_.push_back(static_cast<float>((time - connection.sent_at) * 1e6));
        end_one(connection);
        if (time < end) {
          begin_next();
        } else {
          --under_way;
        }
      }
    }
    elapsed_ = now() - start;
  }

  void print_result() {
    std::sort(latencies_.begin(), latencies_.end());
    size_t n = latencies_.size();
    printf("%zu %.4f %.1f %.1f\n", n, elapsed_, static_cast<double>(latencies_[n / 2]),
           static_cast<double>(latencies_[n * 99 / 100]));
    fflush(stdout);
  }

  int port_;
  double seconds_, elapsed_ = 0;
  int poller_;
  unsigned opened_ = 0;
  std::vector<Connection> connections_;
  std::vector<float> latencies_;
};

void wait_for_line() {
  for (int c; (c = getchar()) != '\n' && c != EOF;) {
  }
}

void say_connected_and_wait() {
  printf("connected\n");
  fflush(stdout);
  wait_for_line();
}

void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  bool load = strcmp(mode, "load") == 0, churn = strcmp(mode, "churn") == 0, hold = strcmp(mode, "hold") == 0;
  int count = argc > 3 ? atoi(argv[3]) : 0;
  int in_flight = argc > 5 ? atoi(argv[5]) : count;
  bool good_arguments = (load && (argc == 5 || argc == 6)) || (churn && argc == 5) || (hold && argc == 4);
  if (!good_arguments || count < 1 || in_flight < 1 || in_flight > count) {
    fprintf(stderr,
            "usage: echo_load load PORT CONNECTIONS SECONDS [IN_FLIGHT] | churn PORT IN_FLIGHT SECONDS | "
            "hold PORT CONNECTIONS\n");
    return 2;
  }
  raise_descriptor_limit();
  Run run(atoi(argv[2]), hold ? 0 : atof(argv[4]));
  if (!churn) run.open_connections(count);
  say_connected_and_wait();
  if (load) run.load(static_cast<size_t>(in_flight));
  if (churn) run.churn(static_cast<size_t>(in_flight));
  if (!hold) wait_for_line();
  run.abandon_all();
  return 0;
}
