// A chat server: a reader and a writer thread for each client, between them a queue with a mutex and a
// condition. The first line of a client is its nick; every further line goes to all as "nick: line". SIGTERM
// is taken by a thread in sigwait(). Usage: chat_server [--port N]     (0 or nothing: any port)
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
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

struct Room {
  std::mutex mutex;
  std::set<std::shared_ptr<Client>> clients;
};

// Never destroyed: clients still talk while exit() runs.
Room& g_room = *new Room;

void broadcast(const std::string& line) {
  std::lock_guard<std::mutex> lock(g_room.mutex);
  for (const auto& client : g_room.clients) {
    std::lock_guard<std::mutex> client_lock(client->mutex);
    client->outgoing.push_back(line);
    client->changed.notify_one();
  }
}

bool send_all(int fd, const std::string& text) {
  for (size_t sent = 0; sent < text.size();) {
    ssize_t n = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// The writer: ends when the reader has ended and everything is sent, or when the client takes nothing any
// more.
void write_to(const std::shared_ptr<Client>& client) {
  std::unique_lock<std::mutex> lock(client->mutex);
  for (;;) {
    client->changed.wait(lock, [&] { return client->closing || !client->outgoing.empty(); });
    if (client->outgoing.empty()) return;
    std::string line = std::move(client->outgoing.front());
    client->outgoing.pop_front();
    lock.unlock();
    if (!send_all(client->fd, line)) {
      shutdown(client->fd, SHUT_RDWR);  // the reader ends too
      return;
    }
    lock.lock();
  }
}

void read_lines(const std::shared_ptr<Client>& client, FILE* stream) {
  char* line = nullptr;
  size_t room = 0;
  for (ssize_t length; (length = getline(&line, &room, stream)) > 0;) {
    std::string text(line, static_cast<size_t>(length));
    text.erase(text.find_last_not_of("\r\n") + 1);
    if (!client->nick.empty()) {
      broadcast(client->nick + ": " + text + "\n");
    } else if (!text.empty()) {
      client->nick = text;
      std::lock_guard<std::mutex> lock(g_room.mutex);
      g_room.clients.insert(client);
    }
  }
  free(line);
}

void serve(const std::shared_ptr<Client>& client) {
  int own = dup(client->fd);
  FILE* stream = own < 0 ? nullptr : fdopen(own, "r");
  if (stream == nullptr) {
    perror("chat_server");
    if (own >= 0) close(own);
    return;
  }
  try {
    std::thread writer(write_to, client);
    read_lines(client, stream);
    {
      std::lock_guard<std::mutex> lock(g_room.mutex);
      g_room.clients.erase(client);
    }
    {
      std::lock_guard<std::mutex> lock(client->mutex);
      client->closing = true;
      client->changed.notify_one();
    }
    writer.join();
  } catch (const std::system_error& error) {
    fprintf(stderr, "chat_server: no thread for a client: %s\n", error.what());
  }
  fclose(stream);
}

void stop_on_term(sigset_t term) {
  int signal;
  sigwait(&term, &signal);
  exit(0);
}

int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t length = sizeof(address);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(fd, 4096) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    perror("chat_server");
    exit(1);
  }
  printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  char* end = nullptr;
  bool with_port = argc == 3 && strcmp(argv[1], "--port") == 0;
  long port = with_port ? strtol(argv[2], &end, 10) : 0;
  if ((argc != 1 && !with_port) || (with_port && (end == argv[2] || *end != '\0')) || port < 0 ||
      port > 65535) {
    fprintf(stderr, "usage: chat_server [--port N]\n");
    return 2;
  }
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &term, nullptr);  // before any thread exists: all inherit it
  std::thread(stop_on_term, term).detach();

  int listener = listen_on(static_cast<int>(port));
  for (;;) {
    int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) usleep(10000);  // wait for a client to leave
      continue;
    }
    timeval patience{30, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    try {
      std::thread(serve, std::make_shared<Client>(fd)).detach();
    } catch (const std::system_error& error) {
      fprintf(stderr, "chat_server: no thread for a client: %s\n", error.what());
    }
  }
}
