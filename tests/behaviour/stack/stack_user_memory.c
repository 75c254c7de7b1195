// pthread_attr_setstack(3): the thread runs on the memory given, which afterwards is still the program's, to
// read and to use for the next thread.
#include "check.h"

#include <sys/mman.h>

enum { size = 256 << 10 };

static char* memory;
static volatile unsigned* mark;

static void* run_on_it(void* argument) {
  volatile unsigned local[4] = {0xfeed0000u + (unsigned)(intptr_t)argument, 1, 2, 3};
  CHECK((char*)local >= memory && (char*)local < memory + size);
  mark = local;
  pthread_attr_t attributes;
  void* bottom;
  size_t found;
  CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
  CHECK(pthread_attr_getstack(&attributes, &bottom, &found) == 0);
  CHECK(bottom == memory && found == size);
  nap(5);
  CHECK(local[0] == 0xfeed0000u + (unsigned)(intptr_t)argument);
  CHECK(pthread_attr_destroy(&attributes) == 0);
  return NULL;
}

int main(void) {
  memory = (char*)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstack(&attributes, memory, size) == 0);
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    CHECK(pthread_create(&thread, &attributes, run_on_it, number_pointer(i)) == 0);
    join_thread(thread);
    CHECK((char*)mark >= memory && (char*)mark < memory + size);
    memory[0] = 'x';
    memory[size - 1] = 'x';
    SAY("thread %d ran on the memory given", i);
  }
  CHECK(munmap(memory, size) == 0);
  return 0;
}
