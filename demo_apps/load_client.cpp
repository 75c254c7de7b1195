// A load client for the demo servers: one thread, epoll, N connections. Every reply is checked.
//   load_client echo|http|chat PORT CONNECTIONS SECONDS [PATH [FILE]]
// echo, http: each connection has one request under way; http asks for PATH and expects the bytes of FILE.
// chat: one client speaks, a round is over when all have heard. Prints "connected" once every connection has
// had a reply, then, after SECONDS of load, replies per second. No reply for 20 seconds, or a wrong one:
// status 1.
//   load_client hold PORT CONNECTIONS 0: opens connections, says "connected", holds them until its input
//   ends.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr double patience = 20;

struct Connection {
  int fd = -1;
  size_t id = 0;
  std::string received;
  long replies = 0;
  bool waiting = false;
};

struct Load {
  std::string mode, path = "/", body;
  bool check_body = false;
  double seconds = 0;
  int poll = -1;
  std::vector<Connection> connections;
};

[[noreturn]] void fail(const std::string& what) {
  fprintf(stderr, "load_client: %s\n", what.c_str());
  exit(1);
}

[[noreturn]] void fail_with_errno(const char* what) {
  fail(std::string(what) + ": " + strerror(errno));
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void say_connected() {
  printf("connected\n");
  fflush(stdout);
}

int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    fail_with_errno("connect");
  return fd;
}

// Small against a socket's buffer, and sent only when the reply to the one before is there: never partial.
void send_text(const Connection& connection, const std::string& text) {
  ssize_t n = send(connection.fd, text.data(), text.size(), MSG_NOSIGNAL);
  if (n < 0) fail_with_errno("send");
  if (n != static_cast<ssize_t>(text.size())) fail("a short send");
}

void receive(Connection& connection) {
  char part[65536];
  ssize_t n = recv(connection.fd, part, sizeof(part), 0);
  if (n < 0) fail_with_errno("recv");
  if (n == 0) fail("the server closed connection " + std::to_string(connection.id));
  connection.received.append(part, static_cast<size_t>(n));
}

// 64 bytes, different for each connection and each request, so that a reply to another one is noticed.
std::string message_of(const Connection& connection) {
  std::string text =
      "message " + std::to_string(connection.replies) + " of " + std::to_string(connection.id) + " ";
  text.resize(63, '.');
  return text + "\n";
}

void send_request(const Load& load, Connection& connection) {
  connection.waiting = true;
  if (load.mode == "echo") return send_text(connection, message_of(connection));
  send_text(connection, "GET " + load.path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

// The length of the reply at the front of what came, 0 while its head is incomplete.
size_t http_reply_length(const Connection& connection, size_t& head) {
  const std::string& text = connection.received;
  head = text.find("\r\n\r\n");
  if (head == std::string::npos) return 0;
  head += 4;
  size_t length = text.find("\r\nContent-Length: ");
  if (text.compare(0, 13, "HTTP/1.1 200 ") != 0 || length > head)
    fail("unexpected answer: " + text.substr(0, text.find("\r\n")));
  return head + strtoul(text.c_str() + length + 18, nullptr, 10);
}

// Takes a whole reply off what came, if one is there, and checks it.
bool take_reply(const Load& load, Connection& connection) {
  size_t head = 0, length = load.mode == "echo" ? 64 : http_reply_length(connection, head);
  if (length == 0 || connection.received.size() < length) return false;
  if (!connection.waiting || connection.received.size() > length) fail("more came than was asked for");
  if (load.mode == "echo" && connection.received != message_of(connection)) fail("a wrong echo");
  if (load.check_body && connection.received.compare(head, std::string::npos, load.body) != 0)
    fail("a wrong body");
  connection.received.clear();
  connection.waiting = false;
  ++connection.replies;
  return true;
}

// Calls `act` with each connection that became readable; false if none did within the time.
template <typename Act>
bool each_ready(Load& load, double seconds, Act act) {
  epoll_event events[256];
  int count = epoll_wait(load.poll, events, 256, static_cast<int>(seconds * 1000));
  if (count < 0 && errno != EINTR) fail_with_errno("epoll_wait");
  for (int i = 0; i < count; ++i) {
    Connection& connection = load.connections[events[i].data.u64];
    receive(connection);
    act(connection);
  }
  return count > 0;
}

// No connection may be forgotten: at the end every request that is under way must still be answered.
void run_requests(Load& load) {
  size_t answered = 0, under_way = load.connections.size();
  long replies = 0;
  double start = 0, end = 0, finish = 0;
  for (Connection& connection : load.connections) send_request(load, connection);
  while (under_way > 0) {
    bool some = each_ready(load, patience, [&](Connection& connection) {
      if (!take_reply(load, connection)) return;
      if (connection.replies == 1 && ++answered == load.connections.size()) {
        say_connected();
        start = now();
        end = start + load.seconds;
      }
      if (start == 0 || now() < end) {
        if (start != 0) ++replies;
        send_request(load, connection);
      } else {
        if (finish == 0) finish = now();
        --under_way;
      }
    });
    if (!some) {
      size_t waiting = 0;
      for (const Connection& connection : load.connections) waiting += connection.waiting;
      fail("no reply for 20 seconds; " + std::to_string(waiting) + " requests are unanswered");
    }
  }
  printf("%.0f\n", static_cast<double>(replies) / (finish - start));
}

// A line that a chat client heard; probes are said until everybody's nick has arrived.
struct Heard {
  size_t probes = 0, lines = 0;
};

void take_lines(Connection& connection, const std::string& expected, Heard& heard) {
  for (size_t end; (end = connection.received.find('\n')) != std::string::npos;) {
    std::string line = connection.received.substr(0, end + 1);
    connection.received.erase(0, end + 1);
    if (line == "speaker: probe\n") {
      if (!connection.waiting) ++heard.probes;
      connection.waiting = true;  // has heard the probe: its nick is known
    } else if (line == expected) {
      ++connection.replies;
      ++heard.lines;
    } else {
      fail("a wrong line: " + line.substr(0, line.size() - 1));
    }
  }
}

void run_chat(Load& load) {
  Heard heard;
  Connection& speaker = load.connections[0];
  for (Connection& connection : load.connections)
    send_text(connection, connection.id == 0 ? "speaker\n" : "nick" + std::to_string(connection.id) + "\n");
  double deadline = now() + patience, next_probe = 0;
  while (heard.probes < load.connections.size()) {
    if (now() >= deadline) fail("not every client was heard of within 20 seconds");
    if (now() >= next_probe) {
      send_text(speaker, "probe\n");
      next_probe = now() + 0.2;
    }
    each_ready(load, 0.1, [&](Connection& connection) { take_lines(connection, "", heard); });
  }
  say_connected();
  double start = now();
  long rounds = 0;
  for (; now() < start + load.seconds; ++rounds) {
    std::string text = message_of(speaker);
    heard.lines = 0;
    send_text(speaker, text);
    while (heard.lines < load.connections.size()) {
      if (!each_ready(load, patience, [&](Connection& c) { take_lines(c, "speaker: " + text, heard); }))
        fail("a line did not reach all clients within 20 seconds");
    }
    for (const Connection& connection : load.connections)
      if (connection.replies != rounds + 1) fail("a client heard a line twice");
  }
  printf("%.0f\n",
         static_cast<double>(rounds) * static_cast<double>(load.connections.size()) / (now() - start));
}

void open_connections(Load& load, int port) {
  load.poll = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < load.connections.size(); ++i) {
    load.connections[i].id = i;
    load.connections[i].fd = connect_to(port);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    if (epoll_ctl(load.poll, EPOLL_CTL_ADD, load.connections[i].fd, &event) != 0)
      fail_with_errno("epoll_ctl");
  }
}

void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::string content_of(const char* name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) fail(std::string("cannot read ") + name);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

int main(int argc, char** argv) {
  Load load;
  load.mode = argc > 1 ? argv[1] : "";
  int count = argc > 3 ? atoi(argv[3]) : 0;
  bool known = load.mode == "echo" || load.mode == "http" || load.mode == "chat" || load.mode == "hold";
  if (argc < 5 || argc > 7 || !known || count < 1) {
    fprintf(stderr, "usage: load_client echo|http|chat|hold PORT CONNECTIONS SECONDS [PATH [FILE]]\n");
    return 2;
  }
  if (argc > 5) load.path = argv[5];
  if (load.mode == "http" && argc > 6) {
    load.body = content_of(argv[6]);
    load.check_body = true;
  }
  load.seconds = atof(argv[4]);
  load.connections.resize(static_cast<size_t>(count));
  raise_descriptor_limit();
  open_connections(load, atoi(argv[2]));
  if (load.mode == "hold") {
    say_connected();
    while (getchar() != EOF) {
    }
  } else if (load.mode == "chat") {
    run_chat(load);
  } else {
    run_requests(load);
  }
  return 0;
}
