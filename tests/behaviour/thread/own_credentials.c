// What Linux keeps for each thread alone (credentials(7), namespaces(7), seccomp(2)): a thread that changes
// it changes it for itself and the threads that it creates, and nobody else ever runs with it.
#include "check.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define CHANGING 6
#define BYSTANDERS 6

static char directory[] = "/tmp/own_credentials.XXXXXX";
static char host[65];
static volatile int over;
static int may;  // root can

static int file_user(void) {
  return setfsuid((uid_t)-1);
}

static void wait_somehow(int step) {
  int ends[2];
  char byte = 'x';
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[0], &byte, 1) == 1);
  nap(step % 3);
  CHECK(read(ends[1], &byte, 1) == 1);
  close(ends[0]);
  close(ends[1]);
}

static void* inherit(void* user) {
  wait_somehow(1);
  CHECK(file_user() == (int)(intptr_t)user);
  return NULL;
}

static void* change_file_user(void* user) {
  char path[100];
  struct stat status;
  int number = (int)(intptr_t)user;
  setfsuid((uid_t)number);
  for (int i = 0; i < 10; ++i) {
    wait_somehow(i);
    CHECK(file_user() == number);
    snprintf(path, sizeof path, "%s/%d.%d", directory, number, i);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(file >= 0 && fstat(file, &status) == 0 && (int)status.st_uid == number);
    close(file);
  }
  join_thread(start_thread(inherit, user));
  return NULL;
}

static void* change_user(void* user) {
  CHECK(syscall(SYS_setresuid, -1, (long)(intptr_t)user, -1) == 0);
  for (int i = 0; i < 10; ++i) {
    wait_somehow(i);
    CHECK(geteuid() == (uid_t)(intptr_t)user);
  }
  return NULL;
}

static void* change_host(void* unused) {
  struct utsname name;
  if (unshare(CLONE_NEWUTS) != 0 || sethostname("elsewhere", 9) != 0) return unused;
  for (int i = 0; i < 10; ++i) {
    wait_somehow(i);
    CHECK(uname(&name) == 0 && strcmp(name.nodename, "elsewhere") == 0);
  }
  return NULL;
}

// A filter for this thread alone: getpgrp answers EACCES.
static void* filter(void* unused) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
  for (int i = 0; i < 10; ++i) {
    wait_somehow(i);
    CHECK_ERRNO(syscall(SYS_getpgrp), EACCES);
  }
  return unused;
}

static void* stand_by(void* unused) {
  struct utsname name;
  while (!over) {
    wait_somehow(1);
    CHECK(file_user() == (int)geteuid() && geteuid() == getuid());
    CHECK(syscall(SYS_getpgrp) > 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
    CHECK(uname(&name) == 0 && strcmp(name.nodename, host) == 0);
  }
  return unused;
}

int main(void) {
  pthread_t changing[CHANGING][4], bystanders[BYSTANDERS];
  may = geteuid() == 0;
  CHECK(gethostname(host, sizeof host) == 0);
  CHECK(mkdtemp(directory) != NULL && chmod(directory, 0777) == 0);
  for (int i = 0; i < BYSTANDERS; ++i) bystanders[i] = start_thread(stand_by, NULL);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < CHANGING; ++i) {
      changing[i][0] =
          start_thread(may ? change_file_user : inherit, number_pointer(may ? 2000 + i : (int)geteuid()));
      changing[i][1] =
          start_thread(may ? change_user : inherit, number_pointer(may ? 3000 + i : (int)geteuid()));
      changing[i][2] = start_thread(change_host, NULL);
      changing[i][3] = start_thread(filter, NULL);
    }
    for (int i = 0; i < CHANGING; ++i) {
      for (int kind = 0; kind < 4; ++kind) join_thread(changing[i][kind]);
    }
    SAY("each for itself");
  }
  join_thread(start_thread(inherit, number_pointer((int)geteuid())));
  over = 1;
  for (int i = 0; i < BYSTANDERS; ++i) join_thread(bystanders[i]);
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  SAY("nobody else");
  return 0;
}
