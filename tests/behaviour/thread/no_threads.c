// A program without threads: one kernel thread, and no descriptor that it did not open.
#include "check.h"

#include <dirent.h>

static void show_entries(const char* path) {
  DIR* directory = opendir(path);
  CHECK(directory != NULL);
  int own = dirfd(directory), count = 0;
  struct dirent* entry;
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_name[0] != '.' && atoi(entry->d_name) != own) ++count;
  }
  SAY("%s: %d", path, count);
  CHECK(closedir(directory) == 0);
}

int main(void) {
  int ends[2];
  char byte;
  CHECK(pipe(ends) == 0 && ends[0] == 3 && ends[1] == 4);
  CHECK(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1);
  nap(10);
  show_entries("/proc/self/task");
  show_entries("/proc/self/fd");
  CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
  return 0;
}
