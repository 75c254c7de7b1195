// A small HTTP/1.1 file server: keep-alive, GET and HEAD, one detached std::thread a connection.
// Usage: http_server DIRECTORY [PORT]
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

std::string g_root;
std::atomic<bool> g_stopping{false};
int g_listener;

bool send_all(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

const char* type_of(const std::string& path) {
  auto ends = [&](const char* end) {
    return path.size() >= strlen(end) && path.compare(path.size() - strlen(end), std::string::npos, end) == 0;
  };
  if (ends(".html")) return "text/html; charset=utf-8";
  if (ends(".txt")) return "text/plain; charset=utf-8";
  if (ends(".css")) return "text/css";
  if (ends(".js")) return "text/javascript";
  if (ends(".png")) return "image/png";
  return "application/octet-stream";
}

bool send_error(int fd, const char* status, bool head) {
  std::string body = std::string(status) + "\n";
  return send_all(fd, std::string("HTTP/1.1 ") + status + "\r\nContent-Type: text/plain\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + (head ? "" : body));
}

bool send_file(int fd, const std::string& target, bool head) {
  if (target.empty() || target[0] != '/' || target.find("..") != std::string::npos) {
    return send_error(fd, "400 Bad Request", head);
  }
  std::string path = g_root + (target == "/" ? "/index.html" : target);
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    if (file >= 0) close(file);
    return send_error(fd, "404 Not Found", head);
  }
  bool ok = send_all(fd, std::string("HTTP/1.1 200 OK\r\nContent-Type: ") + type_of(path) +
                             "\r\nContent-Length: " + std::to_string(status.st_size) + "\r\n\r\n");
  off_t offset = 0;
  while (ok && !head && offset < status.st_size) {
    ok = sendfile(fd, file, &offset, static_cast<size_t>(status.st_size - offset)) > 0;
  }
  close(file);
  return ok;
}

// One request out of `buffer`; false when the connection is over.
bool answer(int fd, const std::string& request) {
  char method[16], target[2048], version[16];
  if (sscanf(request.c_str(), "%15s %2047s %15s", method, target, version) != 3) {
    send_error(fd, "400 Bad Request", false);
    return false;
  }
  bool head = strcmp(method, "HEAD") == 0;
  if (!head && strcmp(method, "GET") != 0) return send_error(fd, "405 Method Not Allowed", false);
  if (!send_file(fd, target, head)) return false;
  return strcmp(version, "HTTP/1.1") == 0 && request.find("Connection: close") == std::string::npos;
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
    ssize_t n = read(fd, part, sizeof(part));
    if (n <= 0 || buffer.size() > 65536) break;
    buffer.append(part, static_cast<size_t>(n));
  }
  close(fd);
}

void on_term(int) {
  g_stopping = true;
  shutdown(g_listener, SHUT_RDWR);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: http_server DIRECTORY [PORT]\n");
    return 2;
  }
  g_root = argv[1];
  signal(SIGPIPE, SIG_IGN);
  g_listener = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  setsockopt(g_listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(argc > 2 ? atoi(argv[2]) : 0));
  socklen_t length = sizeof(address);
  if (bind(g_listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(g_listener, 4096) != 0) {
    perror("http_server");
    return 1;
  }
  getsockname(g_listener, reinterpret_cast<sockaddr*>(&address), &length);
  struct sigaction action {};
  action.sa_handler = on_term;
  sigaction(SIGTERM, &action, nullptr);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  while (!g_stopping) {
    int fd = accept(g_listener, nullptr, nullptr);
    if (fd >= 0) std::thread(serve, fd).detach();
  }
  return 0;
}
