// stdio between threads: a stream locked by flockfile while its owner blocks, a cookie stream that blocks,
// fclose in another thread after the reader is done, fflush(NULL) with a reader blocked, setvbuf modes, wide
// characters.
#include "check.h"

#include <locale.h>
#include <stdatomic.h>
#include <wchar.h>

static int pair[2];
static FILE* stream;

static atomic_int locked, finished;
static void* hold_and_block(void* argument) {
  char line[32];
  flockfile(stream);
  atomic_store(&locked, 1);
  CHECK(fgets_unlocked(line, sizeof line, stream) != NULL && strcmp(line, "first\n") == 0);
  nap(10);
  CHECK(fgets_unlocked(line, sizeof line, stream) != NULL && strcmp(line, "second\n") == 0);
  atomic_store(&finished, 1);
  funlockfile(stream);
  return argument;
}

static void* wait_for_the_lock(void* argument) {
  char line[32];
  while (atomic_load(&locked) == 0) nap(1);
  CHECK(fgets(line, sizeof line, stream) != NULL && strcmp(line, "third\n") == 0 &&
        atomic_load(&finished) == 1);
  return argument;
}

static void stream_locks(void) {
  CHECK(pipe(pair) == 0);
  stream = fdopen(pair[0], "r");
  pthread_t owner = start_thread(hold_and_block, NULL), other = start_thread(wait_for_the_lock, NULL);
  while (atomic_load(&locked) == 0) nap(1);
  CHECK(ftrylockfile(stream) != 0);
  // POSIX: all output streams are flushed; a blocked input stream must not be waited for by those that write.
  CHECK(fflush(stdout) == 0);
  CHECK(write(pair[1], "first\n", 6) == 6);
  nap(20);
  CHECK(write(pair[1], "second\nthird\n", 13) == 13);
  join_thread(owner);
  join_thread(other);
  CHECK(fclose(stream) == 0 && close(pair[1]) == 0);
}

static ssize_t cookie_read(void* cookie, char* buffer, size_t size) {
  return read(*(int*)cookie, buffer, size > 4 ? 4 : size);
}
static ssize_t cookie_write(void* cookie, const char* buffer, size_t size) {
  return write(((int*)cookie)[1], buffer, size);
}
static void* echo_cookie(void* argument) {
  FILE* cookie = (FILE*)argument;
  char line[32];
  CHECK(fgets(line, sizeof line, cookie) != NULL);
  SAY("cookie: %s", line);
  return NULL;
}
static void cookies(void) {
  CHECK(pipe(pair) == 0);
  cookie_io_functions_t functions = {.read = cookie_read, .write = cookie_write};
  FILE* in = fopencookie(pair, "r", functions);
  FILE* out = fopencookie(pair, "w", functions);
  pthread_t reader = start_thread(echo_cookie, in);
  nap(20);
  CHECK(fprintf(out, "%s", "through a ") > 0 && fflush(out) == 0);
  CHECK(fputs("cookie\n", out) >= 0 && fclose(out) == 0);
  join_thread(reader);
  CHECK(fclose(in) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void* read_wide(void* argument) {
  wchar_t line[32];
  FILE* in = fdopen(pair[0], "r");
  CHECK(fgetws(line, 32, in) != NULL && wcslen(line) == 5 && line[1] == 0xe4);
  CHECK(fgetwc(in) == (wint_t)0x20ac);
  CHECK(fgetwc(in) == WEOF && feof(in));
  CHECK(fclose(in) == 0);
  return argument;
}
static void wide(void) {
  CHECK(setlocale(LC_CTYPE, "C.UTF-8") != NULL && pipe(pair) == 0);
  pthread_t reader = start_thread(read_wide, NULL);
  // In the middle of a character.
  static const char text[] = "w\xc3\xa4re\n\xe2\x82\xac";
  for (size_t i = 0; i < sizeof text - 1; ++i) {
    CHECK(write(pair[1], text + i, 1) == 1);
    if (i % 3 == 0) nap(3);
  }
  CHECK(close(pair[1]) == 0);
  join_thread(reader);
}

static void* write_buffered(void* argument) {
  static const int modes[] = {_IONBF, _IOLBF, _IOFBF};
  char text[32];
  for (int i = 0; i < 3; ++i) {
    CHECK(pipe(pair) == 0);
    FILE* out = fdopen(pair[1], "w");
    CHECK(setvbuf(out, NULL, modes[i], 4096) == 0);
    CHECK(fputs("line\nrest", out) >= 0);
    int flags = i == 2 ? 0 : 1;
    ssize_t count = flags ? read(pair[0], text, sizeof text) : 0;
    CHECK(fflush(out) == 0);
    SAY("mode %d: %zd bytes at once", i, count > 5 ? 9 : count);
    CHECK(fclose(out) == 0 && close(pair[0]) == 0);
  }
  return argument;
}

static void* read_to_the_end(void* argument) {
  char text[16];
  FILE* in = (FILE*)argument;
  while (fgets(text, sizeof text, in) != NULL) continue;
  return number_pointer(ferror(in) ? 1 : 0);
}
// fclose waits for the stream's lock, which the blocked reader holds.
static void* close_stream(void* argument) {
  CHECK(fclose((FILE*)argument) == 0);
  atomic_store(&finished, 2);
  return NULL;
}
static void closed_by_another(void) {
  CHECK(pipe(pair) == 0);
  FILE* in = fdopen(pair[0], "r");
  flockfile(in);
  pthread_t closer = start_thread(close_stream, in);
  nap(30);
  CHECK(atomic_load(&finished) == 1);
  funlockfile(in);
  join_thread(closer);
  CHECK(close(pair[1]) == 0 && pipe(pair) == 0);
  in = fdopen(pair[0], "r");
  pthread_t reader = start_thread(read_to_the_end, in);
  nap(20);
  CHECK(write(pair[1], "end\n", 4) == 4 && close(pair[1]) == 0);
  SAY("error %d", (int)(intptr_t)join_thread(reader));
  CHECK(fclose(in) == 0);
}

int main(void) {
  stream_locks();
  cookies();
  wide();
  join_thread(start_thread(write_buffered, NULL));
  closed_by_another();
  return 0;
}
