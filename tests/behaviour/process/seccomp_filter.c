// A program that puts itself under a seccomp filter while its threads wait: calls that it would not make
// itself kill it.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kThreads = 200 };

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;
static int g_waiting, g_go;

static void* wait_for_go(void* argument) {
  char mine[32];
  snprintf(mine, sizeof(mine), "thread %ld", (long)argument);
  pthread_mutex_lock(&g_lock);
  ++g_waiting;
  pthread_cond_broadcast(&g_changed);
  while (!g_go) pthread_cond_wait(&g_changed, &g_lock);
  pthread_mutex_unlock(&g_lock);
  char wanted[32];
  snprintf(wanted, sizeof(wanted), "thread %ld", (long)argument);
  return strcmp(mine, wanted) == 0 ? argument : (void*)-1L;
}

static void forbid(void) {
  static const int forbidden[] = {SYS_ioctl, SYS_userfaultfd, SYS_process_madvise, SYS_io_uring_setup,
                                  SYS_io_uring_enter};
  enum { kCalls = sizeof(forbidden) / sizeof(forbidden[0]) };
  struct sock_filter filter[2 * kCalls + 2];
  int at = 0;
  filter[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < kCalls; ++i) {
    filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)forbidden[i], 0, 1);
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  }
  filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = {(unsigned short)at, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) abort();
  // For all threads at once.
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    perror("seccomp");
    exit(77);
  }
}

int main(void) {
  static pthread_t threads[kThreads];
  for (long i = 0; i < kThreads; ++i) {
    if (pthread_create(&threads[i], NULL, &wait_for_go, (void*)i) != 0) abort();
  }
  pthread_mutex_lock(&g_lock);
  while (g_waiting < kThreads) pthread_cond_wait(&g_changed, &g_lock);
  pthread_mutex_unlock(&g_lock);
  struct timespec moment = {0, 60000000};
  nanosleep(&moment, NULL);
  forbid();
  nanosleep(&moment, NULL);
  pthread_mutex_lock(&g_lock);
  g_go = 1;
  pthread_cond_broadcast(&g_changed);
  pthread_mutex_unlock(&g_lock);
  int right = 0;
  for (long i = 0; i < kThreads; ++i) {
    void* result;
    pthread_join(threads[i], &result);
    right += result == (void*)i;
  }
  printf("%d threads of %d\n", right, kThreads);
  return 0;
}
