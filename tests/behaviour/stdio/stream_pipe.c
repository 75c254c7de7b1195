// stdio on pipes: fread waits for all it was asked for, fwrite of more than a pipe holds goes through, ungetc
// and buffering modes, wide characters.
#include "check.h"

#include <locale.h>
#include <wchar.h>

static int ends[2];

static void* write_in_pieces(void* argument) {
  for (int i = 0; i < 10; ++i) {
    nap(2);
    CHECK(write(ends[1], "0123456789", 10) == 10);
  }
  CHECK(close(ends[1]) == 0);
  return argument;
}

static void* write_much(void* argument) {
  FILE* stream = fdopen(ends[1], "w");
  CHECK(stream != NULL);
  for (int i = 0; i < 50000; ++i) CHECK(fprintf(stream, "%07d\n", i) == 8);
  CHECK(fclose(stream) == 0);
  return argument;
}

static void* write_wide(void* argument) {
  FILE* stream = fdopen(ends[1], "w");
  CHECK(stream != NULL);
  for (int i = 0; i < 3; ++i) {
    nap(5);
    CHECK(fwprintf(stream, L"wide %d\n", i) == 7 && fflush(stream) == 0);
  }
  CHECK(fclose(stream) == 0);
  return argument;
}

static FILE* open_pipe(void* (*writer)(void*), pthread_t* thread) {
  CHECK(pipe(ends) == 0);
  *thread = start_thread(writer, NULL);
  FILE* stream = fdopen(ends[0], "r");
  CHECK(stream != NULL);
  return stream;
}

static void* all(void* argument) {
  char buffer[200];
  wchar_t wide[50];
  pthread_t writer;
  FILE* stream = open_pipe(write_in_pieces, &writer);
  CHECK(fread(buffer, 1, 95, stream) == 95 && buffer[94] == '4' && !feof(stream));
  CHECK(ungetc('!', stream) == '!' && fgetc(stream) == '!');
  CHECK(fread(buffer, 1, 95, stream) == 5 && feof(stream) && fclose(stream) == 0);
  join_thread(writer);
  stream = open_pipe(write_in_pieces, &writer);
  CHECK(setvbuf(stream, NULL, _IONBF, 0) == 0);
  for (int i = 0; i < 100; ++i) CHECK(fgetc(stream) == '0' + i % 10);
  CHECK(fgetc(stream) == EOF && fclose(stream) == 0);
  join_thread(writer);
  stream = open_pipe(write_much, &writer);
  for (int i = 0; i < 50000; ++i) CHECK(fgets(buffer, sizeof buffer, stream) != NULL && atoi(buffer) == i);
  CHECK(fgets(buffer, sizeof buffer, stream) == NULL && fclose(stream) == 0);
  join_thread(writer);
  stream = open_pipe(write_wide, &writer);
  for (int i = 0; i < 3; ++i) CHECK(fgetws(wide, 50, stream) != NULL && wide[5] == L'0' + i);
  CHECK(fgetws(wide, 50, stream) == NULL && feof(stream) && fclose(stream) == 0);
  join_thread(writer);
  SAY("%s", (const char*)argument);
  return NULL;
}

int main(void) {
  all("main");
  join_thread(start_thread(all, "a thread"));
  return 0;
}
