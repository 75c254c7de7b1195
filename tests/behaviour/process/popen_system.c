// popen(3), pclose(3), system(3) from many threads at once: each gets its own child's output and status.
#include "check.h"

#include <sys/wait.h>

enum { threads = 20 };

static void* run_commands(void* argument) {
  int own = (int)(intptr_t)argument;
  char command[100], line[100];
  snprintf(command, sizeof command, "echo first; read -r nothing </dev/null; echo second %d; exit %d", own,
           own);
  FILE* stream = popen(command, "r");
  CHECK(stream != NULL);
  CHECK(fgets(line, sizeof line, stream) != NULL && strcmp(line, "first\n") == 0);
  CHECK(fgets(line, sizeof line, stream) != NULL && atoi(line + 7) == own);
  CHECK(fgets(line, sizeof line, stream) == NULL);
  int status = pclose(stream);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == own);
  snprintf(command, sizeof command, "exit %d", own + 1);
  status = system(command);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == own + 1);
  snprintf(command, sizeof command,
           "while read -r line; do test \"$line\" = 'to child' || exit 99; done; exit 3");
  stream = popen(command, "w");
  CHECK(stream != NULL && fputs("to child\nto child\n", stream) >= 0);
  status = pclose(stream);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  return NULL;
}

int main(void) {
  CHECK(system(NULL) != 0);
  pthread_t thread[threads];
  for (int i = 0; i < threads; ++i) thread[i] = start_thread(run_commands, number_pointer(i));
  for (int i = 0; i < threads; ++i) join_thread(thread[i]);
  run_commands(number_pointer(50));
  SAY("every child's own output and status");
  return 0;
}
