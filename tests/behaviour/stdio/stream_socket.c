// stdio on sockets (fdopen): fgets, getline, fscanf, fprintf, fflush block and go on, a line protocol over a
// socket pair, the end of the stream and the error indicator.
#include "check.h"

#include <signal.h>
#include <sys/socket.h>

static void* answer_lines(void* argument) {
  int descriptor = *(int*)argument;
  FILE* in = fdopen(descriptor, "r");
  FILE* out = fdopen(dup(descriptor), "w");
  char line[100];
  CHECK(in != NULL && out != NULL);
  while (fgets(line, sizeof line, in) != NULL) {
    nap(2);
    CHECK(fprintf(out, "%zu:%s", strlen(line), line) > 0 && fflush(out) == 0);
  }
  CHECK(feof(in) && !ferror(in));
  CHECK(fclose(in) == 0 && fclose(out) == 0);
  return NULL;
}

static void* ask(void* argument) {
  int ends[2];
  char* line = NULL;
  size_t room = 0, number;
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  pthread_t server = start_thread(answer_lines, &ends[1]);
  FILE* stream = fdopen(ends[0], "r+");
  CHECK(stream != NULL);
  for (int i = 1; i <= 5; ++i) {
    CHECK(fprintf(stream, "%.*s\n", i, "abcdef") == i + 1 && fflush(stream) == 0);
    CHECK(getline(&line, &room, stream) == i + 3 && line[0] == '1' + i && line[2] == 'a');
  }
  CHECK(fputs("scan\n", stream) >= 0 && fflush(stream) == 0);
  CHECK(fscanf(stream, "%zu:%*s", &number) == 1 && number == 5 && fgetc(stream) == '\n');
  CHECK(shutdown(ends[0], SHUT_WR) == 0);
  CHECK(getline(&line, &room, stream) == -1 && feof(stream) && !ferror(stream));
  join_thread(server);
  clearerr(stream);
  CHECK(fputs("nobody reads this", stream) >= 0);
  CHECK(fflush(stream) == EOF && errno == EPIPE && ferror(stream));
  fclose(stream);
  free(line);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  ask("main");
  join_thread(start_thread(ask, "a thread"));
  return 0;
}
