#include "runtime/diag/descriptor_text.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/base/log.h"
#include "runtime/base/system_call.h"

namespace coshim {

namespace {

unsigned port_of(uint16_t network) {
  return static_cast<unsigned>(network >> 8 | (network & 255) << 8);
}

template <size_t size>
void format_address(char (&out)[size], const sockaddr_storage& address, size_t length) {
  out[0] = '\0';
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    const auto* ip = reinterpret_cast<const unsigned char*>(&v4.sin_addr);
    format_text(out, size, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], port_of(v4.sin_port));
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const unsigned char* ip = v6.sin6_addr.s6_addr;
    size_t at = format_text(out, size, "[");
    for (int i = 0; i < 16; i += 2)
      at += format_text(out + at, size - at, "%s%x", i == 0 ? "" : ":", ip[i] * 256U + ip[i + 1]);
    format_text(out + at, size - at, "]:%u", port_of(v6.sin6_port));
  } else if (address.ss_family == AF_UNIX && length > sizeof(sa_family_t)) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(address);
    bool abstract = local.sun_path[0] == '\0';
    char path[sizeof(local.sun_path) + 1] = {};
    memcpy(path, local.sun_path + (abstract ? 1 : 0), length - sizeof(sa_family_t) - (abstract ? 1 : 0));
    format_text(out, size, "%s%s", abstract ? "@" : "", path);
  }
}

int socket_option(int fd, int option) {
  int value = 0;
  socklen_t length = sizeof(value);
  return sys::call(SYS_getsockopt, fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

void describe_socket(int fd, int family, DescriptorText* text) {
  int type = socket_option(fd, SO_TYPE);
  bool internet = family == AF_INET || family == AF_INET6;
  const char* kind = family == AF_UNIX                 ? "unix"
                     : internet && type == SOCK_STREAM ? "tcp"
                     : internet && type == SOCK_DGRAM  ? "udp"
                                                       : "socket";
  strcpy(text->kind, kind);
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (sys::call(SYS_getsockname, fd, &address, &length) == 0) format_address(text->local, address, length);
  address = sockaddr_storage{};
  length = sizeof(address);
  if (sys::call(SYS_getpeername, fd, &address, &length) != 0) return;
  format_address(text->peer, address, length);
  if (family != AF_UNIX || text->peer[0] != '\0') return;
  struct {
    int pid;
    unsigned user, group;
  } credentials{};  // struct ucred: unix(7), SO_PEERCRED
  length = sizeof(credentials);
  if (sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
      credentials.pid > 0)
    format_text(text->peer, sizeof(text->peer), "process %d", credentials.pid);
}

}  // namespace

void describe_descriptor(int fd, DescriptorText* text) {
  *text = DescriptorText{};
  int family = socket_option(fd, SO_DOMAIN);
  if (family >= 0) {
    describe_socket(fd, family, text);
    return;
  }
  char link[64], target[128] = {};
  format_text(link, sizeof(link), "/proc/self/fd/%d", fd);
  if (sys::call(SYS_readlinkat, AT_FDCWD, link, target, sizeof(target) - 1) <= 0) return;
  constexpr char kAnonymous[] = "anon_inode:";
  if (strncmp(target, kAnonymous, sizeof(kAnonymous) - 1) == 0) {
    const char* name = target + sizeof(kAnonymous) - 1;
    if (*name == '[') ++name;
    for (size_t i = 0; i + 1 < sizeof(text->kind) && name[i] != '\0' && name[i] != ']'; ++i)
      text->kind[i] = name[i];
  } else {
    strcpy(text->kind, strncmp(target, "pipe:", 5) == 0 ? "pipe" : "file");
    memcpy(text->local, target, sizeof(text->local));
  }
}

}  // namespace coshim
