// With a thread alive: for each line "fork" on stdin a child that ends at once, then "ended"; any other line
// ends it.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void* wait_for_ever(void* unused) {
  for (;;) pause();
  return unused;
}
static void say(const char* text) {
  puts(text);
  fflush(stdout);
}

int main(void) {
  pthread_t thread;
  char line[64];
  if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0) abort();
  say("ready");
  while (fgets(line, sizeof(line), stdin) != NULL && strcmp(line, "fork\n") == 0) {
    pid_t child = fork();
    if (child == 0) exit(0);
    waitpid(child, NULL, 0);
    say("ended");
  }
  return 0;
}
