// A small HTTP/1.1 file server: keep-alive, GET and HEAD, one detached std::thread a connection. SIGTERM: a
// handler that writes into a pipe which the accepting thread polls. Usage: http_server DIRECTORY [--port N]
// (0 or nothing: any port)
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

namespace {

constexpr size_t largest_request = 16384;

// Plain data: connections may still be served while main() returns and static objects are destroyed.
const char* g_root;
int g_stop_pipe[2];

struct Request {
  std::string method, target, version;
  std::string headers;  // the lines after the first one, each with its CR LF
};

bool send_all(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

const char* type_of(const std::string& path) {
  static const char* const types[][2] = {
      {".html", "text/html; charset=utf-8"},
      {".txt", "text/plain; charset=utf-8"},
      {".css", "text/css"},
      {".js", "text/javascript"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".gif", "image/gif"},
  };
  size_t dot = path.find_last_of("./");
  if (dot == std::string::npos) return "application/octet-stream";
  for (const auto& type : types) {
    if (strcasecmp(path.c_str() + dot, type[0]) == 0) return type[1];
  }
  return "application/octet-stream";
}

// The value of a header; empty without it. Names are compared without case (RFC 9110, 5.1).
std::string header(const Request& request, const char* name) {
  size_t length = strlen(name);
  for (size_t at = 0; at < request.headers.size();) {
    size_t end = request.headers.find("\r\n", at);
    if (end == std::string::npos) break;
    const char* line = request.headers.c_str() + at;
    if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
      size_t value = request.headers.find_first_not_of(" \t", at + length + 1);
      return value < end ? request.headers.substr(value, end - value) : "";
    }
    at = end + 2;
  }
  return "";
}

bool wants_keep_alive(const Request& request) {
  // A body is not read here, so that what follows it could not be told from it.
  if (!header(request, "Content-Length").empty() || !header(request, "Transfer-Encoding").empty())
    return false;
  std::string connection = header(request, "Connection");
  if (request.version == "HTTP/1.1") return strcasecmp(connection.c_str(), "close") != 0;
  return strcasecmp(connection.c_str(), "keep-alive") == 0;
}

std::string head_of(const char* status, const char* type, long length, bool keep_alive) {
  return std::string("HTTP/1.1 ") + status + "\r\nContent-Type: " + type +
         "\r\nContent-Length: " + std::to_string(length) +
         "\r\nConnection: " + (keep_alive ? "keep-alive" : "close") + "\r\n";
}

bool send_error(int fd, const char* status, bool head_only, bool keep_alive, const char* extra = "") {
  std::string body = std::string(status) + "\n";
  std::string head = head_of(status, "text/plain", static_cast<long>(body.size()), keep_alive);
  return send_all(fd, head + extra + "\r\n" + (head_only ? "" : body));
}

// The file that a target names: without its query, %XX decoded. False if it is malformed or climbs out of the
// root.
bool path_of(const std::string& target, std::string& path) {
  if (target.empty() || target[0] != '/') return false;
  std::string decoded;
  size_t end = target.find_first_of("?#");
  if (end == std::string::npos) end = target.size();
  for (size_t i = 0; i < end; ++i) {
    char c = target[i];
    if (c == '%') {
      char digits[3] = {};
      if (i + 2 >= end || !isxdigit(static_cast<unsigned char>(digits[0] = target[i + 1])) ||
          !isxdigit(static_cast<unsigned char>(digits[1] = target[i + 2])))
        return false;
      c = static_cast<char>(strtol(digits, nullptr, 16));
      i += 2;
    }
    if (c == '\0') return false;
    decoded += c;
  }
  if ((decoded + "/").find("/../") != std::string::npos) return false;
  path = g_root + decoded + (decoded.back() == '/' ? "index.html" : "");
  return true;
}

bool send_file(int fd, const Request& request, bool keep_alive) {
  bool head_only = request.method == "HEAD";
  std::string path;
  if (!path_of(request.target, path)) return send_error(fd, "400 Bad Request", head_only, keep_alive);
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would block here
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    if (file >= 0) close(file);
    return send_error(fd, "404 Not Found", head_only, keep_alive);
  }
  bool ok = send_all(fd, head_of("200 OK", type_of(path), status.st_size, keep_alive) + "\r\n");
  off_t offset = 0;
  while (ok && !head_only && offset < status.st_size) {
    ssize_t n = sendfile(fd, file, &offset, static_cast<size_t>(status.st_size - offset));
    ok = n > 0 || (n < 0 && errno == EINTR);
  }
  close(file);
  return ok;
}

// Answers one request; false when the connection is over.
bool answer(int fd, const std::string& text) {
  char method[16], target[2048], version[16];
  size_t line_end = text.find("\r\n");
  int used = 0;
  std::string line = text.substr(0, line_end);
  if (sscanf(line.c_str(), "%15s %2047s %15s%n", method, target, version, &used) != 3 ||
      static_cast<size_t>(used) != line.size() || strncmp(version, "HTTP/1.", 7) != 0) {
    send_error(fd, "400 Bad Request", false, false);
    return false;
  }
  Request request{method, target, version, text.substr(line_end + 2)};
  bool head_only = request.method == "HEAD";
  if (request.version == "HTTP/1.1" && header(request, "Host").empty()) {
    send_error(fd, "400 Bad Request", head_only, false);
    return false;
  }
  if (!head_only && request.method != "GET") {
    send_error(fd, "405 Method Not Allowed", false, false, "Allow: GET, HEAD\r\n");
    return false;
  }
  bool keep_alive = wants_keep_alive(request);
  return send_file(fd, request, keep_alive) && keep_alive;
}

void serve(int fd) {
  timeval patience{30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  std::string buffer;
  char part[4096];
  for (bool open = true; open;) {
    size_t end = buffer.find("\r\n\r\n");
    if (end != std::string::npos) {
      open = answer(fd, buffer.substr(0, end + 2));
      buffer.erase(0, end + 4);
      continue;
    }
    if (buffer.size() > largest_request) {
      send_error(fd, "400 Bad Request", false, false);
      break;
    }
    ssize_t n = read(fd, part, sizeof(part));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    buffer.append(part, static_cast<size_t>(n));
  }
  close(fd);
}

void on_term(int) {
  int saved = errno;
  (void)!write(g_stop_pipe[1], "", 1);
  errno = saved;
}

int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t length = sizeof(address);
  struct sigaction action {};
  action.sa_handler = on_term;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 || pipe(g_stop_pipe) != 0 ||
      sigaction(SIGTERM, &action, nullptr) != 0) {
    perror("http_server");
    exit(1);
  }
  signal(SIGPIPE, SIG_IGN);  // sendfile() has no MSG_NOSIGNAL
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

void accept_one(int listener) {
  int fd = accept(listener, nullptr, nullptr);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) usleep(10000);  // wait for a connection to end
    return;
  }
  try {
    std::thread(serve, fd).detach();
  } catch (const std::system_error& error) {
    fprintf(stderr, "http_server: no thread for a connection: %s\n", error.what());
    close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  char* end = nullptr;
  bool with_port = argc == 4 && strcmp(argv[2], "--port") == 0;
  long port = with_port ? strtol(argv[3], &end, 10) : 0;
  if ((argc != 2 && !with_port) || (with_port && (end == argv[3] || *end != '\0')) || port < 0 ||
      port > 65535) {
    fprintf(stderr, "usage: http_server DIRECTORY [--port N]\n");
    return 2;
  }
  g_root = argv[1];
  int listener = listen_on(static_cast<int>(port));
  for (;;) {
    pollfd ready[2] = {{listener, POLLIN, 0}, {g_stop_pipe[0], POLLIN, 0}};
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) return 0;
    if (ready[0].revents != 0) accept_one(listener);
  }
}
