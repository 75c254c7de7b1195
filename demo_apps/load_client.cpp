// A load client for the demo servers: one thread, epoll, N connections, each with one request under way;
// replies are checked. Usage: load_client echo|http|chat PORT CONNECTIONS SECONDS [PATH] Prints requests per
// second. "hold": opens the connections, says "ready", and holds them until its input ends.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct Connection {
  int fd = -1;
  int id = 0;
  std::string got;
};

std::string g_mode, g_path = "/";

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

std::string request_of(const Connection& c) {
  if (g_mode == "http") return "GET " + g_path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::string line = "message of " + std::to_string(c.id);
  line.resize(63, '.');
  return line + "\n";
}

void send_request(Connection& c) {
  std::string text = request_of(c);
  if (send(c.fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) fail("send");
}

// Is a whole reply there? Takes it, and checks it.
bool take_reply(Connection& c) {
  size_t size = 64;
  if (g_mode == "http") {
    size_t head = c.got.find("\r\n\r\n"), at = c.got.find("Content-Length: ");
    if (head == std::string::npos) return false;
    if (c.got.compare(0, 15, "HTTP/1.1 200 OK") != 0 || at > head) fail("unexpected answer");
    size = head + 4 + strtoul(c.got.c_str() + at + 16, nullptr, 10);
  }
  if (c.got.size() < size) return false;
  if (g_mode == "echo" && c.got.compare(0, size, request_of(c)) != 0) fail("wrong echo");
  c.got.erase(0, size);
  return true;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Chat: one speaks, all hear; a round is over when everyone has heard.
bool run_chat(std::vector<Connection>& connections, double seconds) {
  double end = now() + seconds, start = now();
  long heard = 0;
  std::string expected = "nick0: " + request_of(connections[0]);
  while (now() < end) {
    send_request(connections[0]);
    for (Connection& c : connections) {
      while (c.got.size() < expected.size()) {
        char part[4096];
        ssize_t n = recv(c.fd, part, sizeof(part), 0);
        if (n <= 0) fail("recv");
        c.got.append(part, static_cast<size_t>(n));
      }
      if (c.got.compare(0, expected.size(), expected) != 0) fail("wrong line");
      c.got.erase(0, expected.size());
      ++heard;
    }
  }
  printf("%.0f\n", static_cast<double>(heard) / (now() - start));
  return true;
}

void run_requests(std::vector<Connection>& connections, double seconds) {
  int poll = epoll_create1(0);
  for (size_t i = 0; i < connections.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
    send_request(connections[i]);
  }
  double start = now(), end = start + seconds;
  long replies = 0;
  while (now() < end) {
    epoll_event events[256];
    int count = epoll_wait(poll, events, 256, 5000);
    if (count == 0) fail("no reply for five seconds");
    for (int i = 0; i < count; ++i) {
      Connection& c = connections[events[i].data.u64];
      char part[65536];
      ssize_t n = recv(c.fd, part, sizeof(part), 0);
      if (n <= 0) fail("recv");
      c.got.append(part, static_cast<size_t>(n));
      if (!take_reply(c)) continue;
      ++replies;
      send_request(c);
    }
  }
  printf("%.0f\n", static_cast<double>(replies) / (now() - start));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: load_client echo|http|chat|hold PORT CONNECTIONS SECONDS [PATH]\n");
    return 2;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  g_mode = argv[1];
  if (argc > 5) g_path = argv[5];
  std::vector<Connection> connections(static_cast<size_t>(atoi(argv[3])));
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i].fd = connect_to(atoi(argv[2]));
    connections[i].id = static_cast<int>(i);
    if (g_mode == "chat") {
      std::string nick = "nick" + std::to_string(i) + "\n";
      if (send(connections[i].fd, nick.data(), nick.size(), MSG_NOSIGNAL) < 0) fail("send");
    }
  }
  if (g_mode == "hold") {
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
  } else if (g_mode == "chat") {
    usleep(500000);  // the nicks have to arrive before the first line
    run_chat(connections, atof(argv[4]));
  } else {
    run_requests(connections, atof(argv[4]));
  }
  return 0;
}
