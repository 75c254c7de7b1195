// seccomp(2): a filter that main installs before or after its threads exist, for all of them (TSYNC) or for
// those to come: what it refuses is refused in every thread, the rest works. The filter also refuses calls
// that a library underneath might like to use, as container runtimes do: io_uring, epoll_pwait2, preadv2.
#include "loopback.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void install(unsigned flags) {
  static const int refused[] = {SYS_uname, SYS_io_uring_setup, SYS_epoll_pwait2, SYS_preadv2, SYS_pwritev2};
  struct sock_filter filter[32];
  unsigned length = 0;
  filter[length++] =
      (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; ++i) {
    filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refused[i], 0, 1);
    filter[length++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (i == 0 ? EACCES : EPERM));
  }
  filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {(unsigned short)length, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0)
    _exit(77);
}

static int pair[2], pipes[2];

static void* work(void* argument) {
  char buffer[400], byte;
  CHECK(syscall(SYS_uname, buffer) == -1 && errno == EACCES);
  CHECK(read(pipes[0], &byte, 1) == 1 && write(pipes[1], &byte, 1) == 1);
  CHECK(recv(pair[0], &byte, 1, 0) == 1 && send(pair[0], &byte, 1, 0) == 1);
  struct pollfd entry = {pair[0], POLLIN, 0};
  CHECK(poll(&entry, 1, 20) >= 0);
  int listener = listen_loopback(1), client = connect_loopback(bound_port(listener));
  int server = accept(listener, NULL, NULL);
  CHECK(server >= 0 && write(client, "x", 1) == 1 && read(server, &byte, 1) == 1);
  CHECK(close(server) == 0 && close(client) == 0 && close(listener) == 0);
  nap(1);
  return argument;
}

static void* nothing(void* argument) {
  return argument;
}

static void run(int when) {
  pthread_t threads[6];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0 && pipe(pipes) == 0);
  if (when == 1) install(0);
  for (int i = 0; i < 3 && when == 0; ++i) join_thread(start_thread(nothing, NULL));
  if (when == 0) install(SECCOMP_FILTER_FLAG_TSYNC);
  for (int i = 0; i < 6; ++i) threads[i] = start_thread(work, NULL);
  nap(20);
  CHECK(write(pipes[1], "p", 1) == 1 && send(pair[1], "s", 1, 0) == 1);
  char byte;
  for (int i = 0; i < 6; ++i) {
    CHECK(recv(pair[1], &byte, 1, 0) == 1);
    if (i < 5) CHECK(send(pair[1], "s", 1, 0) == 1);
  }
  for (int i = 0; i < 6; ++i) join_thread(threads[i]);
}

int main(void) {
  for (int when = 0; when < 2; ++when) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      run(when);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) return 77;
    CHECK(WEXITSTATUS(status) == 0);
    SAY("filter %d", when);
  }
  return 0;
}
