// Fetches one URL many times, one std::thread a request, and prints a summary with a checksum of all that
// came. Usage: fetcher http://127.0.0.1:PORT/PATH COUNT
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Url {
  std::string host, port, path;
};

struct Result {
  std::string body, error;
};

class Socket {
 public:
  explicit Socket(const Url& url) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
    if (error != 0) throw std::runtime_error(std::string("no such host: ") + gai_strerror(error));
    fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = fd_ < 0 || connect(fd_, found->ai_addr, found->ai_addrlen) != 0;
    int reason = errno;
    freeaddrinfo(found);
    if (failed) {
      if (fd_ >= 0) close(fd_);
      throw std::runtime_error(std::string("cannot connect: ") + strerror(reason));
    }
    timeval patience{30, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void write_all(const std::string& text) const {
    for (size_t sent = 0; sent < text.size();) {
      ssize_t n = send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n < 0) throw std::runtime_error(std::string("cannot send: ") + strerror(errno));
      sent += static_cast<size_t>(n);
    }
  }

  std::string read_all() const {
    std::string all;
    char part[8192];
    for (;;) {
      ssize_t n = read(fd_, part, sizeof(part));
      if (n < 0) throw std::runtime_error(std::string("cannot read: ") + strerror(errno));
      if (n == 0) return all;
      all.append(part, static_cast<size_t>(n));
    }
  }

 private:
  int fd_ = -1;
};

std::string fetch(const Url& url) {
  Socket server(url);
  server.write_all("GET " + url.path + " HTTP/1.1\r\nHost: " + url.host + "\r\nConnection: close\r\n\r\n");
  std::string answer = server.read_all();
  size_t head = answer.find("\r\n\r\n");
  if (head == std::string::npos) throw std::runtime_error("the answer is cut short");
  if (answer.compare(0, 13, "HTTP/1.1 200 ") != 0)
    throw std::runtime_error("the server said " + answer.substr(0, answer.find("\r\n")));
  size_t length = answer.find("\r\nContent-Length: ");
  if (length < head && strtoul(answer.c_str() + length + 18, nullptr, 10) != answer.size() - head - 4)
    throw std::runtime_error("the body is not as long as announced");
  return answer.substr(head + 4);
}

void fetch_into(const Url& url, Result& result) {
  try {
    result.body = fetch(url);
  } catch (const std::exception& error) {
    result.error = error.what();
  }
}

std::vector<Result> fetch_many(const Url& url, size_t count) {
  std::vector<Result> results(count);
  std::vector<std::thread> threads;
  for (Result& result : results) {
    try {
      threads.emplace_back(fetch_into, std::cref(url), std::ref(result));
    } catch (const std::exception& error) {
      result.error = std::string("no thread: ") + error.what();
    }
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

}  // namespace

int main(int argc, char** argv) {
  char host[256], port[16] = "80", path[1024] = "/";
  long count = argc == 3 ? strtol(argv[2], nullptr, 10) : 0;
  if (count <= 0 || sscanf(argv[1], "http://%255[^:/]:%15[0-9]%1023s", host, port, path) < 2) {
    fprintf(stderr, "usage: fetcher http://HOST:PORT/PATH COUNT\n");
    return 2;
  }
  size_t good = 0, bytes = 0;
  unsigned checksum = 0;
  std::map<std::string, int> errors;
  std::vector<Result> results = fetch_many(Url{host, port, path}, static_cast<size_t>(count));
  for (const Result& result : results) {
    if (!result.error.empty()) {
      ++errors[result.error];
      continue;
    }
    ++good;
    bytes += result.body.size();
    for (unsigned char c : result.body) checksum = checksum * 31 + c;
  }
  for (const auto& error : errors)
    fprintf(stderr, "fetcher: %s (%d times)\n", error.first.c_str(), error.second);
  printf("%zu of %zu answers, %zu bytes, checksum %08x\n", good, results.size(), bytes, checksum);
  return good == results.size() ? 0 : 1;
}
