// futex(2) without FUTEX_PRIVATE_FLAG, as libstdc++'s std::atomic::wait uses it: in memory of the process
// alone many threads wait; in shared memory another process wakes them, also where a private mapping was
// before.
#include "check.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { kThreads = 150, kPage = 4096 };

static int *word, arrived;

static void* wait_for_one(void* argument) {
  __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) {
    long result = syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL);
    CHECK(result == 0 || errno == EAGAIN || errno == EINTR);
  }
  return argument;
}

static void wake_all(void) {
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
  CHECK(syscall(SYS_futex, word, FUTEX_WAKE, 1 << 30) >= 0);
}

static void run(int threads, int from_child) {
  pthread_t thread[kThreads];
  __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&arrived, 0, __ATOMIC_SEQ_CST);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(wait_for_one, NULL);
  while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < threads) nap(1);
  nap(50);
  if (from_child) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      wake_all();
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  } else {
    wake_all();
  }
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
}

int main(void) {
  static int data;
  word = &data;
  run(kThreads, 0);
  SAY("in data");
  void* memory = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  word = memory;
  run(kThreads, 0);
  SAY("in a private mapping");
  CHECK(mmap(memory, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
  run(5, 1);
  SAY("in a shared mapping in its place");
  return 0;
}
