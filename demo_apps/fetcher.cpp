// Fetches one URL many times, one std::thread a request, and prints a summary with a checksum of all that
// came. Usage: fetcher http://127.0.0.1:PORT/PATH COUNT
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Url {
  std::string host, port, path;
};

std::string fetch(const Url& url) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found) != 0)
    throw std::runtime_error("no such host");
  int fd = socket(found->ai_family, SOCK_STREAM, 0);
  int failed = connect(fd, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  if (failed != 0) {
    close(fd);
    throw std::runtime_error("cannot connect");
  }
  std::string request =
                  "GET " + url.path + " HTTP/1.1\r\nHost: " + url.host + "\r\nConnection: close\r\n\r\n",
              answer;
  (void)!write(fd, request.data(), request.size());
  char part[8192];
  for (ssize_t n; (n = read(fd, part, sizeof(part))) > 0;) answer.append(part, static_cast<size_t>(n));
  close(fd);
  size_t body = answer.find("\r\n\r\n");
  if (answer.compare(0, 12, "HTTP/1.1 200") != 0 || body == std::string::npos)
    throw std::runtime_error("not found");
  return answer.substr(body + 4);
}

}  // namespace

int main(int argc, char** argv) {
  char host[256], port[16] = "80", path[1024] = "/";
  if (argc != 3 || sscanf(argv[1], "http://%255[^:/]:%15[0-9]%1023s", host, port, path) < 2) {
    fprintf(stderr, "usage: fetcher http://HOST:PORT/PATH COUNT\n");
    return 2;
  }
  Url url{host, port, path};
  std::vector<std::future<std::string>> results;
  for (int i = 0; i < atoi(argv[2]); ++i) results.push_back(std::async(std::launch::async, fetch, url));
  size_t good = 0, bytes = 0;
  unsigned checksum = 0;
  for (auto& result : results) {
    try {
      std::string body = result.get();
      ++good;
      bytes += body.size();
      for (unsigned char c : body) checksum = checksum * 31 + c;
    } catch (const std::exception& error) {
      fprintf(stderr, "fetcher: %s\n", error.what());
    }
  }
  printf("%zu of %zu answers, %zu bytes, checksum %08x\n", good, results.size(), bytes, checksum);
  return good == results.size() ? 0 : 1;
}
