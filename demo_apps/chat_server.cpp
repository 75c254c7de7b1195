// A chat server: a reader and a writer thread for each client, a queue with a mutex and a condition between
// them. The first line of a client is its nick; every further line goes to all as "nick: line". SIGTERM is
// taken by a thread in sigwait(). Usage: chat_server [PORT]
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace {

struct Client {
  explicit Client(int descriptor) : fd(descriptor) {}
  ~Client() { close(fd); }
  const int fd;
  std::string nick;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> outgoing;
  bool closing = false;
};

std::mutex g_mutex;
std::set<std::shared_ptr<Client>> g_clients;

void broadcast(const std::string& line) {
  std::lock_guard<std::mutex> lock(g_mutex);
  for (const auto& client : g_clients) {
    std::lock_guard<std::mutex> client_lock(client->mutex);
    client->outgoing.push_back(line);
    client->changed.notify_one();
  }
}

void write_to(const std::shared_ptr<Client>& client) {
  std::unique_lock<std::mutex> lock(client->mutex);
  for (;;) {
    client->changed.wait(lock, [&] { return client->closing || !client->outgoing.empty(); });
    if (client->outgoing.empty()) return;
    std::string line = std::move(client->outgoing.front());
    client->outgoing.pop_front();
    lock.unlock();
    for (size_t sent = 0; sent < line.size();) {
      ssize_t n = send(client->fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    lock.lock();
  }
}

void read_from(std::shared_ptr<Client> client) {
  std::thread writer(write_to, client);
  FILE* stream = fdopen(dup(client->fd), "r");
  char* line = nullptr;
  size_t room = 0;
  while (stream != nullptr && getline(&line, &room, stream) > 0) {
    if (client->nick.empty()) {
      client->nick.assign(line, std::string(line).find_last_not_of("\r\n") + 1);
      std::lock_guard<std::mutex> lock(g_mutex);
      g_clients.insert(client);
    } else {
      broadcast(client->nick + ": " + line);
    }
  }
  free(line);
  if (stream != nullptr) fclose(stream);
  {
    std::lock_guard<std::mutex> lock(g_mutex);
    g_clients.erase(client);
  }
  {
    std::lock_guard<std::mutex> lock(client->mutex);
    client->closing = true;
    client->changed.notify_one();
  }
  writer.join();
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, nullptr);
  std::thread([term] {
    int signal;
    sigwait(&term, &signal);
    std::exit(0);
  }).detach();

  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(argc > 1 ? atoi(argv[1]) : 0));
  socklen_t length = sizeof(address);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, 4096) != 0) {
    perror("chat_server");
    return 1;
  }
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    try {
      std::thread(read_from, std::make_shared<Client>(fd)).detach();
    } catch (const std::exception& error) {
      fprintf(stderr, "chat_server: %s\n", error.what());
    }
  }
}
