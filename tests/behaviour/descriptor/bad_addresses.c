// Calls that are given addresses at which there is nothing, or nothing to be written: EFAULT where the kernel
// looks, a fault where the C library does, and the order in which errors are found out.
#include "check.h"

#include <aio.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct timespec little = {0, 1000000};
static int pair[2], datagrams[2], pipe_ends[2], full_pipe[2], event, file;

static void fill(int fd) {
  char block[4096] = {0};
  int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  while (write(fd, block, sizeof(block)) > 0) {
  }
  fcntl(fd, F_SETFL, flags);
}

static void prepare(void) {
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == 0);
  CHECK(pipe(pipe_ends) == 0 && pipe(full_pipe) == 0);
  fill(full_pipe[1]);
  CHECK((event = eventfd(1, 0)) >= 0);
  CHECK((file = memfd_create("file", 0)) >= 0 && ftruncate(file, 65536) == 0);
}

static void give(void) {
  CHECK(write(pair[1], "0123456789", 10) == 10);
  CHECK(write(datagrams[1], "0123456789", 10) == 10);
  CHECK(write(pipe_ends[1], "0123456789", 10) == 10);
}

static struct msghdr message_with(void* vector) {
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = 2};
  return message;
}

static int tcp_listener(struct sockaddr_in* address) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = sizeof(*address);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  CHECK(bind(fd, (struct sockaddr*)address, length) == 0 && listen(fd, 5) == 0);
  CHECK(getsockname(fd, (struct sockaddr*)address, &length) == 0);
  return fd;
}

static long accept_one(void* address, void* length) {
  struct sockaddr_in at;
  int listener = tcp_listener(&at), client = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(client, (struct sockaddr*)&at, sizeof(at)) == 0);
  return accept(listener, address, length) >= 0 ? 0 : -1;
}

static mqd_t queue(void) {
  char name[32];
  snprintf(name, sizeof(name), "/bad-addresses-%d", getpid());
  mqd_t opened = mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
  mq_unlink(name);
  return opened;
}

static sigset_t set_of(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}

static void pend(int number) {
  sigset_t set = set_of(number);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  pthread_kill(pthread_self(), number);
}

static int ended_child(void) {
  int child = fork();
  if (child == 0) _exit(7);
  CHECK(child > 0);
  return child;
}

static int semaphore_id = -1, message_id = -1;

static int semaphores(void) {
  return semaphore_id = semget(IPC_PRIVATE, 1, 0600);
}

static int messages(void) {
  return message_id = msgget(IPC_PRIVATE, 0600);
}

static void remove_ipc(void) {
  if (semaphore_id >= 0) CHECK(semctl(semaphore_id, 0, IPC_RMID) == 0);
  if (message_id >= 0) CHECK(msgctl(message_id, IPC_RMID, NULL) == 0);
  semaphore_id = message_id = -1;
}

static void no_handler(int number) {
  (void)number;
}

static pthread_t waiting, interrupter;
static int interrupting;

static void* interrupt(void* unused) {
  (void)unused;
  while (__atomic_load_n(&interrupting, __ATOMIC_ACQUIRE)) {
    nap(2);
    pthread_kill(waiting, SIGWINCH);
  }
  return NULL;
}

// Has a signal's handler run again and again in the calling thread, until the call under test is over.
static void be_interrupted(void) {
  struct sigaction action = {.sa_handler = no_handler};
  CHECK(sigaction(SIGWINCH, &action, NULL) == 0);
  waiting = pthread_self();
  __atomic_store_n(&interrupting, 1, __ATOMIC_RELEASE);
  interrupter = start_thread(interrupt, NULL);
}

static void no_longer(void) {
  if (!interrupting) return;
  __atomic_store_n(&interrupting, 0, __ATOMIC_RELEASE);
  join_thread(interrupter);
}

#define CASES(CASE)                                                                                          \
  CASE(nanosleep_time, nanosleep(p, NULL))                                                                   \
  CASE(nanosleep_left, (be_interrupted(), nanosleep(&(struct timespec){5, 0}, p)))                           \
  CASE(clock_nanosleep_time, clock_nanosleep(CLOCK_MONOTONIC, 0, p, NULL))                                   \
  CASE(clock_nanosleep_until, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, p, NULL))                       \
  CASE(clock_nanosleep_other, clock_nanosleep(CLOCK_BOOTTIME, 0, p, NULL))                                   \
  CASE(clock_nanosleep_left,                                                                                 \
       (be_interrupted(), clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){5, 0}, p)))                 \
  CASE(number_nanosleep, syscall(SYS_nanosleep, p, NULL))                                                    \
  CASE(poll_array, poll(p, 2, 1))                                                                            \
  CASE(poll_array_now, poll(p, 2, 0))                                                                        \
  CASE(ppoll_array, ppoll(p, 2, &little, NULL))                                                              \
  CASE(ppoll_time, ppoll(NULL, 0, p, NULL))                                                                  \
  CASE(ppoll_mask, ppoll(NULL, 0, &little, p))                                                               \
  CASE(number_ppoll_time, syscall(SYS_ppoll, NULL, 0, p, NULL, 8))                                           \
  CASE(select_reads, select(65, p, NULL, NULL, &(struct timeval){0, 1000}))                                  \
  CASE(select_writes, select(65, NULL, p, NULL, &(struct timeval){0, 1000}))                                 \
  CASE(select_exceptions, select(65, NULL, NULL, p, &(struct timeval){0, 1000}))                             \
  CASE(select_time, select(0, NULL, NULL, NULL, p))                                                          \
  CASE(number_select_time, syscall(SYS_select, 0, NULL, NULL, NULL, p))                                      \
  CASE(number_select_reads, syscall(SYS_select, 65, p, NULL, NULL, &(struct timeval){0, 1000}))              \
  CASE(pselect_reads, pselect(65, p, NULL, NULL, &little, NULL))                                             \
  CASE(pselect_mask, pselect(0, NULL, NULL, NULL, &little, p))                                               \
  CASE(epoll_wait_events, epoll_of(pipe_ends[1], p, 5))                                                      \
  CASE(epoll_wait_now, epoll_of(pipe_ends[1], p, 0))                                                         \
  CASE(epoll_pwait_mask, epoll_pwait(epoll_create1(0), &(struct epoll_event){0}, 1, 1, p))                   \
  CASE(epoll_pwait2_time, epoll_pwait2(epoll_create1(0), &(struct epoll_event){0}, 1, p, NULL))              \
  CASE(epoll_ctl_event, epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, pipe_ends[0], p))                         \
  CASE(read_pipe, (give(), read(pipe_ends[0], p, 32)))                                                       \
  CASE(read_socket, (give(), read(pair[0], p, 32)))                                                          \
  CASE(read_file, read(file, p, 32))                                                                         \
  CASE(read_event, read(event, p, 8))                                                                        \
  CASE(readv_pipe_vector, (give(), readv(pipe_ends[0], p, 2)))                                               \
  CASE(readv_socket_vector, (give(), readv(pair[0], p, 2)))                                                  \
  CASE(readv_file_vector, readv(file, p, 2))                                                                 \
  CASE(readv_no_file, readv(999, p, 2))                                                                      \
  CASE(readv_too_many, readv(pipe_ends[0], p, 5000))                                                         \
  CASE(readv_write_end, readv(pipe_ends[1], p, 2))                                                           \
  CASE(readv_none, readv(pair[0], p, 0))                                                                     \
  CASE(readv_pipe_buffer, (give(), readv(pipe_ends[0], (struct iovec[]){{p, 16}, {p, 16}}, 2)))              \
  CASE(preadv_file, preadv(file, p, 2, 0))                                                                   \
  CASE(preadv2_pipe, (give(), preadv2(pipe_ends[0], p, 2, -1, 0)))                                           \
  CASE(write_pipe, write(pipe_ends[1], p, 32))                                                               \
  CASE(write_socket, write(pair[1], p, 32))                                                                  \
  CASE(write_event, write(event, p, 8))                                                                      \
  CASE(writev_pipe_vector, writev(pipe_ends[1], p, 2))                                                       \
  CASE(writev_socket_vector, writev(pair[1], p, 2))                                                          \
  CASE(writev_no_file, writev(999, p, 2))                                                                    \
  CASE(writev_pipe_second, writev(pipe_ends[1], (struct iovec[]){{"abc", 3}, {p, 16}}, 2))                   \
  CASE(writev_socket_second, writev(pair[1], (struct iovec[]){{"abc", 3}, {p, 16}}, 2))                      \
  CASE(pwritev2_pipe, pwritev2(pipe_ends[1], p, 2, -1, 0))                                                   \
  CASE(vmsplice_vector, vmsplice(pipe_ends[1], p, 2, 0))                                                     \
  CASE(recv_buffer, (give(), recv(pair[0], p, 32, 0)))                                                       \
  CASE(recv_all, (give(), recv(pair[0], p, 10, MSG_WAITALL)))                                                \
  CASE(recvfrom_address, (give(), recvfrom(datagrams[0], (char[16]){0}, 16, 0, p, &(socklen_t){16})))        \
  CASE(recvfrom_length, (give(), recvfrom(datagrams[0], (char[16]){0}, 16, 0, (void*)(char[128]){0}, p)))    \
  CASE(recvmsg_header, (give(), recvmsg(pair[0], p, 0)))                                                     \
  CASE(recvmsg_header_now, (give(), recvmsg(pair[0], p, MSG_DONTWAIT)))                                      \
  CASE(recvmsg_vector, (give(), recvmsg(pair[0], &(struct msghdr){.msg_iov = p, .msg_iovlen = 2}, 0)))       \
  CASE(recvmsg_name, (give(), recvmsg(datagrams[0], &(struct msghdr){.msg_name = p, .msg_namelen = 99}, 0))) \
  CASE(recvmsg_control, receive_with_control(p))                                                             \
  CASE(recvmsg_all, (give(), recvmsg(pair[0], p, MSG_WAITALL)))                                              \
  CASE(recvmmsg_headers, (give(), recvmmsg(datagrams[0], p, 2, MSG_WAITFORONE, NULL)))                       \
  CASE(recvmmsg_time, (give(), recvmmsg(datagrams[0], (struct mmsghdr[1]){0}, 1, 0, p)))                     \
  CASE(send_buffer, send(pair[1], p, 32, 0))                                                                 \
  CASE(sendto_address, sendto(datagrams[1], "abc", 3, 0, p, 16))                                             \
  CASE(sendmsg_header, sendmsg(pair[1], p, 0))                                                               \
  CASE(sendmsg_vector, sendmsg(pair[1], &(struct msghdr){.msg_iov = p, .msg_iovlen = 2}, 0))                 \
  CASE(sendmsg_none, sendmsg(pair[1], &(struct msghdr){.msg_iov = p, .msg_iovlen = 0}, 0))                   \
  CASE(sendmsg_many, sendmsg(pair[1], &(struct msghdr){.msg_iov = p, .msg_iovlen = 5000}, 0))                \
  CASE(sendmsg_no_socket, sendmsg(pipe_ends[1], p, 0))                                                       \
  CASE(sendmmsg_headers, sendmmsg(datagrams[1], p, 2, 0))                                                    \
  CASE(sendmmsg_none, sendmmsg(datagrams[1], p, 0, 0))                                                       \
  CASE(accept_address, accept_one(p, &(socklen_t){16}))                                                      \
  CASE(accept_length, accept_one((char[128]){0}, p))                                                         \
  CASE(connect_tcp, connect(socket(AF_INET, SOCK_STREAM, 0), p, 16))                                         \
  CASE(connect_udp, connect(socket(AF_INET, SOCK_DGRAM, 0), p, 16))                                          \
  CASE(connect_unix, connect(socket(AF_UNIX, SOCK_STREAM, 0), p, 16))                                        \
  CASE(bind_address, bind(socket(AF_INET, SOCK_STREAM, 0), p, 16))                                           \
  CASE(setsockopt_value, setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, p, sizeof(struct timeval)))            \
  CASE(getsockopt_value, getsockopt(pair[0], SOL_SOCKET, SO_TYPE, p, &(socklen_t){4}))                       \
  CASE(socketpair_result, socketpair(AF_UNIX, SOCK_STREAM, 0, p))                                            \
  CASE(pipe_result, pipe(p))                                                                                 \
  CASE(pipe2_result, pipe2(p, O_CLOEXEC))                                                                    \
  CASE(open_name, open(p, O_RDONLY) >= 0 ? 0 : -1)                                                           \
  CASE(fcntl_lock, fcntl(file, F_SETLKW, p))                                                                 \
  CASE(fcntl_get_lock, fcntl(file, F_GETLK, p))                                                              \
  CASE(ioctl_waiting, ioctl(pipe_ends[0], FIONREAD, p))                                                      \
  CASE(ioctl_nonblocking, ioctl(pipe_ends[0], FIONBIO, p))                                                   \
  CASE(sendfile_offset, sendfile(pair[1], file, p, 10))                                                      \
  CASE(splice_offset, splice(file, p, pipe_ends[1], NULL, 10, 0))                                            \
  CASE(sigtimedwait_set, sigtimedwait(p, NULL, &little))                                                     \
  CASE(sigtimedwait_time, sigtimedwait(&(sigset_t){0}, NULL, p))                                             \
  CASE(sigtimedwait_info, (pend(SIGUSR1), sigtimedwait((sigset_t[]){set_of(SIGUSR1)}, p, &little)))          \
  CASE(sigwaitinfo_set, (pend(SIGUSR1), p != NULL && readable ? 0 : sigwaitinfo(p, NULL)))                   \
  CASE(sigsuspend_set, (be_interrupted(), sigsuspend(p)))                                                    \
  CASE(sigpending_set, sigpending(p))                                                                        \
  CASE(sigaltstack_new, sigaltstack(p, NULL))                                                                \
  CASE(sigaltstack_old, sigaltstack(NULL, p))                                                                \
  CASE(number_mask, syscall(SYS_rt_sigprocmask, SIG_BLOCK, p, NULL, 8))                                      \
  CASE(number_old_mask, syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, p, 8))                                  \
  CASE(number_action, syscall(SYS_rt_sigaction, SIGUSR1, p, NULL, 8))                                        \
  CASE(number_old_action, syscall(SYS_rt_sigaction, SIGUSR1, NULL, p, 8))                                    \
  CASE(signalfd_mask, signalfd(-1, p, 0) >= 0 ? 0 : -1)                                                      \
  CASE(number_futex_time, syscall(SYS_futex, &(int){1}, FUTEX_WAIT_PRIVATE, 1, p))                           \
  CASE(waitpid_status, waitpid(ended_child(), p, 0) > 0 ? 0 : -1)                                            \
  CASE(wait_status, (ended_child(), wait(p) > 0 ? 0 : -1))                                                   \
  CASE(wait4_usage, wait4(ended_child(), NULL, 0, p) > 0 ? 0 : -1)                                           \
  CASE(waitid_info, waitid(P_PID, ended_child(), p, WEXITED))                                                \
  CASE(semop_operations, semop(semaphores(), p, 1))                                                          \
  CASE(semtimedop_time, semtimedop(semaphores(), &(struct sembuf){0, -1, 0}, 1, p))                          \
  CASE(msgsnd_message, msgsnd(messages(), p, 8, 0))                                                          \
  CASE(mq_send_message, mq_send(queue(), p, 8, 0))                                                           \
  CASE(mq_timedsend_time, mq_timedsend(queue(), "a", 1, 0, p))                                               \
  CASE(mq_timedreceive_time, mq_timedreceive(queue(), (char[8192]){0}, 8192, NULL, p))                       \
  CASE(aio_suspend_list, aio_suspend(p, 2, &little))                                                         \
  CASE(aio_suspend_time, aio_suspend((const struct aiocb* [1]){NULL}, 1, p))                                 \
  CASE(sched_setparam_value, sched_setparam(0, p))                                                           \
  CASE(sched_getparam_value, sched_getparam(0, p))                                                           \
  CASE(sched_setscheduler_value, sched_setscheduler(0, SCHED_OTHER, p))                                      \
  CASE(sched_setaffinity_set, sched_setaffinity(0, 128, p))                                                  \
  CASE(sched_getaffinity_set, sched_getaffinity(0, 128, p))                                                  \
  CASE(number_setattr, syscall(SYS_sched_setattr, 0, p, 0))                                                  \
  CASE(number_getattr, syscall(SYS_sched_getattr, 0, p, 48, 0))                                              \
  CASE(getrusage_thread, getrusage(RUSAGE_THREAD, p))                                                        \
  CASE(number_clock, syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, p))                                 \
  CASE(number_resolution, syscall(SYS_clock_getres, CLOCK_THREAD_CPUTIME_ID, p))                             \
  CASE(clock_thread, clock_gettime(CLOCK_THREAD_CPUTIME_ID, p))                                              \
  CASE(prctl_set_name, prctl(PR_SET_NAME, p, 0, 0, 0))                                                       \
  CASE(prctl_get_name, prctl(PR_GET_NAME, p, 0, 0, 0))                                                       \
  CASE(timerfd_time, timerfd_settime(timerfd_create(CLOCK_MONOTONIC, 0), 0, p, NULL))

static long epoll_of(int fd, void* events, int timeout) {
  int epoll = epoll_create1(0);
  struct epoll_event event_wanted = {.events = EPOLLOUT};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event_wanted) == 0);
  return epoll_wait(epoll, events, 2, timeout);
}

static long receive_with_control(void* control) {
  char text[16];
  struct iovec vector = {text, sizeof(text)};
  struct msghdr message = message_with(&vector);
  int on = 1;
  CHECK(setsockopt(datagrams[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
  give();
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = 64;
  return recvmsg(datagrams[0], &message, 0);
}

enum { kinds = 6, null_kind = 0, read_only_kind = 2 };
static const char* const kind_names[kinds] = {"null",      "nothing", "read-only",
                                              "straddles", "kernel",  "no address"};

struct test {
  const char* name;
  long (*call)(void* p, int readable);
};

#define DEFINE(name, call)                         \
  static long call_##name(void* p, int readable) { \
    (void)readable;                                \
    return call;                                   \
  }
CASES(DEFINE)
#define ENTRY(name, call) {#name, call_##name},
static const struct test tests[] = {CASES(ENTRY)};
enum { count = sizeof(tests) / sizeof(tests[0]) };

// Shared with the child in which the cases run, until one of them ends it.
static struct shared {
  int next;
  struct outcome {
    long result;
    int error, signal;
  } outcomes[count * kinds];
} * shared;

static void* try_one(void* argument) {
  int number = (int)(intptr_t)argument;
  char* pages = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED && mprotect(pages, 4096, PROT_READ) == 0);
  CHECK(mprotect(pages + 2 * 4096, 4096, PROT_READ | PROT_WRITE) == 0);
  void* addresses[kinds] = {NULL,
                            pages + 4096,
                            pages,
                            pages + 3 * 4096 - 4,
                            (void*)0xffff888000001000ull,
                            (void*)0x0123456789abcd00ull};
  prepare();
  errno = 0;
  int kind = number % kinds;
  long result = tests[number / kinds].call(addresses[kind], kind == read_only_kind);
  shared->outcomes[number].result = result;
  shared->outcomes[number].error = errno;
  no_longer();
  remove_ipc();
  CHECK(munmap(pages, 4 * 4096) == 0);
  return NULL;
}

// No time at all is no bad address: these wait for ever.
static int waits(int number) {
  const char* name = tests[number / kinds].name;
  size_t length = strlen(name);
  return number % kinds == null_kind && length > 5 && strcmp(name + length - 5, "_time") == 0 &&
         strcmp(name, "nanosleep_time") != 0 && strcmp(name, "clock_nanosleep_time") != 0;
}

static void run_from_next(void) {
  for (; shared->next < count * kinds; ++shared->next) {
    if (waits(shared->next)) continue;
    alarm(30);
    join_thread(start_thread(try_one, number_pointer(shared->next)));
    CHECK(close_range(3, ~0u, 0) == 0);
  }
  _exit(0);
}

static void show(int test) {
  printf("%s:", tests[test].name);
  for (int kind = 0; kind < kinds; ++kind) {
    const struct outcome* outcome = &shared->outcomes[test * kinds + kind];
    printf("  %s ", kind_names[kind]);
    if (waits(test * kinds + kind)) {
      printf("waits");
    } else if (outcome->signal != 0) {
      printf("signal %d", outcome->signal);
    } else if (outcome->result == -1) {
      printf("%s", strerrorname_np(outcome->error));
    } else {
      printf("%ld", outcome->result);
    }
  }
  printf("\n");
}

int main(void) {
  shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  while (shared->next < count * kinds) {
    int child = fork(), status;
    CHECK(child >= 0);
    if (child == 0) run_from_next();
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
      shared->outcomes[shared->next++].signal = WTERMSIG(status);
    } else {
      CHECK(WEXITSTATUS(status) == 0);
    }
  }
  for (int test = 0; test < count; ++test) show(test);
  fflush(stdout);
  return 0;
}
