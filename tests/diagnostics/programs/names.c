// names: threads whose names are anything but words, then "ready"; a line on stdin ends it.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static const char* const kNames[] = {"a\"quote",    "back\\slash",      "\xff\xfe\x80", "line\nbreak",
                                     "tab\tbell\a", "\xc3\xa4\xc3\xb6", "\xe2\x82",     "_Z3fooi"};
enum { kCount = sizeof(kNames) / sizeof(kNames[0]) };

static void* sleep_named(void* name) {
  pthread_setname_np(pthread_self(), name);
  for (;;) sleep(1000);
  return NULL;
}

int main(void) {
  for (int i = 0; i < kCount; ++i) {
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_named, (void*)kNames[i]);
  }
  usleep(100000);
  puts("ready");
  fflush(stdout);
  getchar();
  return 0;
}
