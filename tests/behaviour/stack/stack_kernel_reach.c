// System calls whose pointers lead into the local variables of another thread, which has been idle for a
// while: the kernel reads and writes them as if they were anybody's memory. Each call gets addresses that
// user code has not touched since, by main and by a created thread.
#include "check.h"

#include <aio.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>

extern char** environ;

enum { SIZE = 3000, IDLE_MS = 12 };

// What lies on the idle thread's stack.
struct locals {
  char path[64], text[SIZE], buffer[SIZE];
  char* arguments[4];
  struct iovec vector[2];
  struct msghdr message;
  struct mmsghdr messages[1];
  struct epoll_event event;
  struct pollfd poll;
  struct timespec time, remaining;
  struct timeval timeval;
  fd_set set;
  sigset_t signals, old_signals;
  struct sigaction action, old_action;
  cpu_set_t cpus;
  struct sched_param parameter;
  struct sockaddr_in address;
  socklen_t length;
  struct aiocb operation;
  struct sigevent notification;
  struct itimerspec timer;
  timer_t timer_id;
  struct mq_attr queue;
  struct msqid_ds queue_state;
  struct shmid_ds memory_state;
  struct semid_ds semaphore_state;
  unsigned short semaphores[1];
  struct sembuf operations[1];
  struct {
    long type;
    char text[16];
  } letter;
  struct stat status;
  struct rusage usage;
  struct timex clock;
  int wait_status, descriptors[2];
  unsigned cpu;
  loff_t offset, other_offset;
  gid_t groups[64];
  struct gaicb lookup;
  struct gaicb* lookups[1];
};

static struct locals* theirs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int leave;
static char where[64];

static void* lie_idle(void* unused) {
  struct locals locals;
  memset(&locals, 0, sizeof(locals));
  memset(locals.text, 'x', sizeof(locals.text));
  CHECK(pthread_mutex_lock(&lock) == 0);
  theirs = &locals;
  CHECK(pthread_cond_broadcast(&changed) == 0);
  while (!leave) CHECK(pthread_cond_wait(&changed, &lock) == 0);
  CHECK(pthread_mutex_unlock(&lock) == 0);
  return unused;
}

// After what was written to the locals, their thread has been idle for long.
#define IDLE nap(IDLE_MS)

static void files(void) {
  struct locals* their = theirs;
  strcpy(their->path, where);
  IDLE;
  int fd = open(their->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  IDLE;
  CHECK(write(fd, their->text, SIZE) == SIZE);
  IDLE;
  CHECK(pwrite(fd, their->text, SIZE, SIZE) == SIZE);
  IDLE;
  CHECK(pread(fd, their->buffer, SIZE, 100) == SIZE);
  CHECK(memcmp(their->buffer, their->text, SIZE) == 0);
  their->vector[0] = (struct iovec){their->buffer, 1000};
  their->vector[1] = (struct iovec){their->buffer + 1000, 1000};
  memset(their->buffer, 0, SIZE);
  IDLE;
  CHECK(preadv(fd, their->vector, 2, 0) == 2000);
  CHECK(memcmp(their->buffer, their->text, 2000) == 0 && their->buffer[2000] == 0);
  IDLE;
  CHECK(pwritev(fd, their->vector, 2, 0) == 2000);
  struct iovec own[2] = {{their->buffer, 10}, {their->text, 10}};
  IDLE;
  CHECK(preadv2(fd, own, 2, 0, 0) == 20);
  IDLE;
  CHECK(syscall(SYS_preadv, fd, own, 2L, 0L, 0L) == 20);
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  IDLE;
  CHECK(syscall(SYS_readv, fd, own, 2L) == 20);
  IDLE;
  CHECK(syscall(SYS_pread64, fd, their->buffer, 100L, 0L) == 100);
  IDLE;
  CHECK(fstat(fd, &their->status) == 0);
  CHECK(their->status.st_size == 2 * SIZE);
  IDLE;
  CHECK(stat(their->path, &their->status) == 0);
  their->offset = 0, their->other_offset = 2 * SIZE;
  IDLE;
  CHECK(copy_file_range(fd, &their->offset, fd, &their->other_offset, 100, 0) == 100);
  CHECK(their->offset == 100 && their->other_offset == 2 * SIZE + 100);
  close(fd);
  IDLE;
  DIR* directory = opendir(strcpy(their->path, "/tmp"));
  CHECK(directory != NULL && closedir(directory) == 0);
  int inotify = inotify_init1(IN_CLOEXEC);
  IDLE;
  CHECK(inotify_add_watch(inotify, their->path, IN_CREATE) >= 0);
  close(inotify);
  IDLE;
  CHECK(pathconf(their->path, _PC_NAME_MAX) == 255);
  strcpy(their->path, where);
  IDLE;
  CHECK(unlink(their->path) == 0);
}

static void streams(void) {
  struct locals* their = theirs;
  strcpy(their->path, where);
  IDLE;
  FILE* file = fopen(their->path, "w+");
  CHECK(file != NULL);
  CHECK(setvbuf(file, NULL, _IONBF, 0) == 0);
  IDLE;
  CHECK(fwrite(their->text, 1, SIZE, file) == SIZE);
  rewind(file);
  memset(their->buffer, 0, SIZE);
  IDLE;
  CHECK(fread(their->buffer, 1, SIZE, file) == SIZE);
  CHECK(memcmp(their->buffer, their->text, SIZE) == 0);
  IDLE;
  CHECK(freopen(their->path, "r", file) == file);
  CHECK(setvbuf(file, their->text, _IOFBF, 1024) == 0);
  IDLE;
  CHECK(fgetc(file) == 'x');
  CHECK(fclose(file) == 0);
  memset(their->text, 'x', SIZE);
  CHECK(unlink(where) == 0);
}

static void sockets(void) {
  struct locals* their = theirs;
  IDLE;
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, their->descriptors) == 0);
  int a = their->descriptors[0], b = their->descriptors[1];
  their->vector[0] = (struct iovec){their->text, 1000};
  their->vector[1] = (struct iovec){their->text + 1000, 1000};
  their->message = (struct msghdr){.msg_iov = their->vector, .msg_iovlen = 2};
  IDLE;
  CHECK(sendmsg(a, &their->message, 0) == 2000);
  their->vector[0].iov_base = their->buffer;
  their->vector[1].iov_base = their->buffer + 1000;
  memset(their->buffer, 0, SIZE);
  IDLE;
  CHECK(recvmsg(b, &their->message, 0) == 2000);
  CHECK(memcmp(their->buffer, their->text, 2000) == 0);
  their->messages[0].msg_hdr = their->message;
  IDLE;
  CHECK(sendmmsg(a, their->messages, 1, 0) == 1);
  IDLE;
  CHECK(recvmmsg(b, their->messages, 1, 0, NULL) == 1 && their->messages[0].msg_len == 2000);
  IDLE;
  CHECK(syscall(SYS_sendmsg, a, &their->message, 0L) == 2000);
  IDLE;
  CHECK(syscall(SYS_recvmsg, b, &their->message, 0L) == 2000);
  IDLE;
  CHECK(send(a, their->text, 100, 0) == 100);
  IDLE;
  CHECK(recv(b, their->buffer, 100, MSG_DONTWAIT) == 100);
  their->length = sizeof(int);
  IDLE;
  CHECK(getsockopt(a, SOL_SOCKET, SO_TYPE, &their->wait_status, &their->length) == 0);
  CHECK(their->wait_status == SOCK_DGRAM);
  their->timeval = (struct timeval){5, 0};
  IDLE;
  CHECK(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &their->timeval, sizeof(their->timeval)) == 0);
  close(a), close(b);
  int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  their->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  IDLE;
  CHECK(bind(listener, (struct sockaddr*)&their->address, sizeof(their->address)) == 0 &&
        listen(listener, 1) == 0);
  their->length = sizeof(their->address);
  IDLE;
  CHECK(getsockname(listener, (struct sockaddr*)&their->address, &their->length) == 0);
  IDLE;
  CHECK(connect(client, (struct sockaddr*)&their->address, sizeof(their->address)) == 0);
  IDLE;
  int accepted = accept(listener, (struct sockaddr*)&their->address, &their->length);
  CHECK(accepted >= 0 && their->length == sizeof(their->address));
  close(listener), close(client), close(accepted);
}

static void waits(void) {
  struct locals* their = theirs;
  IDLE;
  CHECK(pipe(their->descriptors) == 0);
  int reader = their->descriptors[0], writer = their->descriptors[1];
  CHECK(write(writer, "x", 1) == 1);
  their->poll = (struct pollfd){.fd = reader, .events = POLLIN};
  their->time = milliseconds(500);
  IDLE;
  CHECK(poll(&their->poll, 1, 1000) == 1 && their->poll.revents == POLLIN);
  IDLE;
  CHECK(ppoll(&their->poll, 1, &their->time, NULL) == 1);
  FD_ZERO(&their->set);
  FD_SET(reader, &their->set);
  their->timeval = (struct timeval){1, 0};
  IDLE;
  CHECK(select(reader + 1, &their->set, NULL, NULL, &their->timeval) == 1);
  int epoll = epoll_create1(0);
  their->event = (struct epoll_event){.events = EPOLLIN, .data.u64 = 77};
  IDLE;
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, reader, &their->event) == 0);
  their->event.data.u64 = 0;
  IDLE;
  CHECK(epoll_wait(epoll, &their->event, 1, 1000) == 1);
  CHECK(their->event.data.u64 == 77);
  close(epoll), close(reader), close(writer);
  their->time = milliseconds(1);
  IDLE;
  CHECK(nanosleep(&their->time, &their->remaining) == 0);
  IDLE;
  CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &their->time, NULL) == 0);
  IDLE;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &their->time) == 0);
  IDLE;
  CHECK(clock_getres(CLOCK_MONOTONIC, &their->time) == 0);
  IDLE;
  CHECK(getrusage(RUSAGE_SELF, &their->usage) == 0);
}

static void signals(void) {
  struct locals* their = theirs;
  sigemptyset(&their->signals);
  sigaddset(&their->signals, SIGUSR1);
  IDLE;
  CHECK(pthread_sigmask(SIG_BLOCK, &their->signals, &their->old_signals) == 0);
  IDLE;
  CHECK(sigpending(&their->old_signals) == 0);
  CHECK(!sigismember(&their->old_signals, SIGUSR1));
  CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0);
  their->time = milliseconds(1000);
  IDLE;
  CHECK(sigtimedwait(&their->signals, NULL, &their->time) == SIGUSR1);
  IDLE;
  CHECK(sigprocmask(SIG_UNBLOCK, &their->signals, &their->old_signals) == 0);
  CHECK(sigismember(&their->old_signals, SIGUSR1));
  their->action.sa_handler = SIG_IGN;
  IDLE;
  CHECK(sigaction(SIGUSR1, &their->action, &their->old_action) == 0);
}

static void scheduling(void) {
  struct locals* their = theirs;
  IDLE;
  CHECK(pthread_getaffinity_np(pthread_self(), sizeof(their->cpus), &their->cpus) == 0);
  CHECK(CPU_COUNT(&their->cpus) > 0);
  IDLE;
  CHECK(pthread_setaffinity_np(pthread_self(), sizeof(their->cpus), &their->cpus) == 0);
  IDLE;
  CHECK(sched_getaffinity(0, sizeof(their->cpus), &their->cpus) > -1);
  int policy;
  IDLE;
  CHECK(pthread_getschedparam(pthread_self(), &policy, &their->parameter) == 0);
  IDLE;
  CHECK(pthread_setschedparam(pthread_self(), policy, &their->parameter) == 0);
  IDLE;
  CHECK(sched_getparam(0, &their->parameter) == 0);
  IDLE;
  CHECK(getcpu(&their->cpu, NULL) == 0);
  IDLE;
  CHECK(getgroups(64, their->groups) >= 0);
  their->clock.modes = 0;
  IDLE;
  CHECK(adjtimex(&their->clock) >= 0);
  strcpy(their->path, "reached");
  IDLE;
  CHECK(pthread_setname_np(pthread_self(), their->path) == 0);
  IDLE;
  CHECK(pthread_getname_np(pthread_self(), their->buffer, 100) == 0 && strcmp(their->buffer, "reached") == 0);
}

static void queues(void) {
  struct locals* their = theirs;
  char name[64];
  snprintf(name, sizeof(name), "/reach-%d", (int)getpid());
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 100};
  strcpy(their->path, name);
  their->queue = attributes;
  IDLE;
  mqd_t queue = mq_open(their->path, O_RDWR | O_CREAT, 0600, &their->queue);
  CHECK(queue != (mqd_t)-1);
  IDLE;
  CHECK(mq_send(queue, their->text, 50, 1) == 0);
  IDLE;
  CHECK(mq_getattr(queue, &their->queue) == 0 && their->queue.mq_curmsgs == 1);
  IDLE;
  CHECK(mq_setattr(queue, &their->queue, NULL) == 0);
  IDLE;
  CHECK(mq_receive(queue, their->buffer, 100, &their->cpu) == 50 && their->cpu == 1);
  IDLE;
  CHECK(mq_close(queue) == 0 && mq_unlink(their->path) == 0);
  int id = msgget(IPC_PRIVATE, 0600);
  IDLE;
  CHECK(msgctl(id, IPC_STAT, &their->queue_state) == 0);
  their->letter.type = 3;
  IDLE;
  CHECK(msgsnd(id, &their->letter, 16, 0) == 0);
  IDLE;
  CHECK(msgrcv(id, &their->letter, 16, 0, 0) == 16);
  CHECK(msgctl(id, IPC_RMID, NULL) == 0);
  id = semget(IPC_PRIVATE, 1, 0600);
  their->semaphores[0] = 3;
  IDLE;
  CHECK(semctl(id, 0, SETALL, their->semaphores) == 0);
  IDLE;
  CHECK(semctl(id, 0, GETALL, their->semaphores) == 0 && their->semaphores[0] == 3);
  IDLE;
  CHECK(semctl(id, 0, IPC_STAT, &their->semaphore_state) == 0);
  their->operations[0] = (struct sembuf){0, -1, 0};
  IDLE;
  CHECK(semop(id, their->operations, 1) == 0);
  CHECK(semctl(id, 0, IPC_RMID) == 0);
  id = shmget(IPC_PRIVATE, 4096, 0600);
  IDLE;
  CHECK(shmctl(id, IPC_STAT, &their->memory_state) == 0 && their->memory_state.shm_segsz == 4096);
  CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void processes(void) {
  struct locals* their = theirs;
  strcpy(their->path, "/bin/sh");
  strcpy(their->text, "-c");
  strcpy(their->buffer, "exit 7");
  their->arguments[0] = their->path;
  their->arguments[1] = their->text;
  their->arguments[2] = their->buffer;
  their->arguments[3] = NULL;
  pid_t child;
  IDLE;
  CHECK(posix_spawn(&child, their->path, NULL, NULL, their->arguments, environ) == 0);
  IDLE;
  CHECK(waitpid(child, &their->wait_status, 0) == child && WEXITSTATUS(their->wait_status) == 7);
  char* own[] = {their->path, their->text, their->buffer, NULL};
  IDLE;
  CHECK(posix_spawnp(&child, "sh", NULL, NULL, own, environ) == 0);
  IDLE;
  CHECK(wait4(child, &their->wait_status, 0, &their->usage) == child && WEXITSTATUS(their->wait_status) == 7);
  IDLE;
  CHECK(WEXITSTATUS(system(their->buffer)) == 7);
  IDLE;
  FILE* output = popen(their->buffer, "r");
  CHECK(output != NULL && WEXITSTATUS(pclose(output)) == 7);
  IDLE;
  child = fork();
  if (child == 0) {
    execv(their->path, their->arguments);
    _exit(99);
  }
  CHECK(waitpid(child, &their->wait_status, 0) == child && WEXITSTATUS(their->wait_status) == 7);
  memset(their->text, 'x', SIZE);
}

static int fired;
static void notify(union sigval value) {
  struct locals* their = value.sival_ptr;
  CHECK(their->cpu == 12345);
  their->offset = 54321;
  __atomic_store_n(&fired, 1, __ATOMIC_SEQ_CST);
}

// Threads that libc starts inside itself touch the locals, with all signals blocked.
static void helpers(void) {
  struct locals* their = theirs;
  their->cpu = 12345;
  their->notification = (struct sigevent){
      .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notify, .sigev_value.sival_ptr = their};
  IDLE;
  CHECK(timer_create(CLOCK_MONOTONIC, &their->notification, &their->timer_id) == 0);
  their->timer = (struct itimerspec){.it_value = milliseconds(3 * IDLE_MS)};
  timer_t timer = their->timer_id;
  CHECK(timer_settime(timer, 0, &their->timer, NULL) == 0);
  while (!__atomic_load_n(&fired, __ATOMIC_SEQ_CST)) nap(1);
  CHECK(their->offset == 54321);
  IDLE;
  CHECK(timer_gettime(timer, &their->timer) == 0);
  CHECK(timer_delete(timer) == 0);
  fired = 0;
  int fd = open("/dev/zero", O_RDONLY);
  their->operation = (struct aiocb){.aio_fildes = fd, .aio_buf = their->buffer, .aio_nbytes = SIZE};
  memset(their->buffer, 1, SIZE);
  IDLE;
  CHECK(aio_read(&their->operation) == 0);
  while (aio_error(&their->operation) == EINPROGRESS) nap(IDLE_MS);
  CHECK(aio_return(&their->operation) == SIZE && their->buffer[SIZE - 1] == 0);
  close(fd);
  strcpy(their->path, "127.0.0.1");
  memset(&their->lookup, 0, sizeof(their->lookup));
  their->lookup.ar_name = their->path;
  their->lookups[0] = &their->lookup;
  IDLE;
  CHECK(getaddrinfo_a(GAI_NOWAIT, their->lookups, 1, NULL) == 0);
  while (gai_error(&their->lookup) == EAI_INPROGRESS) nap(IDLE_MS);
  CHECK(gai_error(&their->lookup) == 0);
  freeaddrinfo(their->lookup.ar_result);
}

static void* all(void* who) {
  snprintf(where, sizeof(where), "/tmp/reach.%d", (int)getpid());
  static const struct {
    const char* name;
    void (*run)(void);
  } parts[] = {{"files", files},   {"streams", streams},     {"sockets", sockets},
               {"waits", waits},   {"signals", signals},     {"scheduling", scheduling},
               {"queues", queues}, {"processes", processes}, {"helpers", helpers}};
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); ++i) {
    parts[i].run();
    SAY("%s: %s", (const char*)who, parts[i].name);
  }
  return NULL;
}

int main(void) {
  pthread_t idle = start_thread(lie_idle, NULL);
  CHECK(pthread_mutex_lock(&lock) == 0);
  while (theirs == NULL) CHECK(pthread_cond_wait(&changed, &lock) == 0);
  CHECK(pthread_mutex_unlock(&lock) == 0);
  all("main");
  join_thread(start_thread(all, "a thread"));
  CHECK(pthread_mutex_lock(&lock) == 0);
  leave = 1;
  CHECK(pthread_cond_broadcast(&changed) == 0);
  CHECK(pthread_mutex_unlock(&lock) == 0);
  join_thread(idle);
  return 0;
}
