// Locks inside libc: while one thread holds malloc's, stdio's or the loader's, others block or compute; all
// get on.
#include "check.h"

#include <dlfcn.h>

enum { threads = 24, rounds = 100 };

static volatile int stop;

static void* compute(void* argument) {
  volatile unsigned long turns = 0;
  while (!stop) ++turns;
  return argument;
}

static void* use_libc(void* argument) {
  for (int round = 0; round < rounds; ++round) {
    char* memory[20];
    for (int i = 0; i < 20; ++i) CHECK((memory[i] = (char*)malloc((size_t)(i + 1) * 97)) != NULL);
    for (int i = 0; i < 20; ++i) free(memory[i]);
    char line[100];
    FILE* stream = fopen("/dev/null", "w");
    CHECK(stream != NULL && fprintf(stream, "%d", round) > 0 && fclose(stream) == 0);
    CHECK(dlsym(RTLD_DEFAULT, "printf") != NULL);
    time_t now = time(NULL);
    struct tm parts;
    CHECK(localtime_r(&now, &parts) != NULL && strftime(line, sizeof line, "%c", &parts) > 0);
    CHECK(setenv("BEHAVIOUR", "set", 1) == 0 && getenv("BEHAVIOUR") != NULL);
    if (round % 20 == 0) nap(1);
  }
  return argument;
}

int main(void) {
  pthread_t loop[4], thread[threads];
  for (int i = 0; i < 4; ++i) loop[i] = start_thread(compute, NULL);
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(use_libc, NULL);
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  stop = 1;
  for (int i = 0; i < 4; ++i) join_thread(loop[i]);
  SAY("%d threads through libc's locks", threads);
  return 0;
}
