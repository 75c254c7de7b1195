// A thread that blocks in a read made by inline assembly, which no library sees, does not stop the others.
#include "check.h"

#include <sys/socket.h>
#include <sys/syscall.h>

enum { blocked = 6 };

static int empty[2];

static long bare_read(int descriptor, void* buffer, size_t length) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(SYS_read), "D"((long)descriptor), "S"(buffer), "d"(length)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long number __asm__("x8") = SYS_read;
  register long first __asm__("x0") = descriptor;
  register void* second __asm__("x1") = buffer;
  register size_t third __asm__("x2") = length;
  __asm__ volatile("svc 0" : "+r"(first) : "r"(number), "r"(second), "r"(third) : "memory");
  return first;
#else
#error "no system call for this machine"
#endif
}

static void* read_bare(void* argument) {
  char byte;
  CHECK(bare_read(empty[0], &byte, 1) == 1 && byte == 'x');
  return argument;
}

static void* echo(void* argument) {
  char byte;
  while (recv(*(int*)argument, &byte, 1, 0) == 1) CHECK(send(*(int*)argument, &byte, 1, 0) == 1);
  return NULL;
}

int main(void) {
  pthread_t reader[blocked], echoing[3];
  int ends[3][2];
  CHECK(pipe(empty) == 0);
  for (int i = 0; i < blocked; ++i) reader[i] = start_thread(read_bare, NULL);
  for (int i = 0; i < 3; ++i) {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[i]) == 0);
    echoing[i] = start_thread(echo, &ends[i][1]);
  }
  for (int round = 0; round < 100; ++round) {
    char byte;
    CHECK(send(ends[round % 3][0], "y", 1, 0) == 1 && recv(ends[round % 3][0], &byte, 1, 0) == 1);
  }
  SAY("the others went on");
  for (int i = 0; i < blocked; ++i) CHECK(write(empty[1], "x", 1) == 1);
  for (int i = 0; i < blocked; ++i) join_thread(reader[i]);
  for (int i = 0; i < 3; ++i) CHECK(shutdown(ends[i][0], SHUT_WR) == 0);
  for (int i = 0; i < 3; ++i) join_thread(echoing[i]);
  return 0;
}
