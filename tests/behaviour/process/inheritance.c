// Descriptors across exec: close-on-exec ones go, the others stay, with their numbers, and nothing else is
// there. A program started by an activator finds its listener at number 3 (sd_listen_fds(3)) and serves it
// with threads.
#include "loopback.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>

static void* list_descriptors(void* argument) {
  DIR* directory = opendir("/proc/self/fd");
  struct dirent* entry;
  int numbers = 0;
  while ((entry = readdir(directory)) != NULL) {
    int number = atoi(entry->d_name);
    if (entry->d_name[0] != '.' && number != dirfd(directory) && number < 1000) numbers |= 1 << number;
  }
  SAY("inherited %x", (unsigned)numbers);
  CHECK(closedir(directory) == 0);
  return argument;
}

static void* serve(void* argument) {
  int descriptor = accept(3, NULL, NULL);
  char byte;
  CHECK(descriptor >= 0 && read(descriptor, &byte, 1) == 1 && write(descriptor, &byte, 1) == 1 &&
        close(descriptor) == 0);
  return argument;
}

static int activated(void) {
  list_descriptors(NULL);
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) threads[i] = start_thread(serve, NULL);
  for (int i = 0; i < 4; ++i) join_thread(threads[i]);
  return 0;
}

static void* start(void* argument) {
  int listener = *(int*)argument;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (listener != 3) dup2(listener, 3);
    fcntl(3, F_SETFD, 0);
    char pid[32];
    snprintf(pid, sizeof pid, "%d", getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    execl("/proc/self/exe", "activated", "serve", NULL);
    _exit(1);
  }
  for (int i = 0; i < 4; ++i) {
    int descriptor = connect_loopback(bound_port(listener));
    char byte = 'a';
    CHECK(write(descriptor, &byte, 1) == 1 && read(descriptor, &byte, 1) == 1 && byte == 'a' &&
          close(descriptor) == 0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return NULL;
}

int main(int count, char** arguments) {
  if (count > 1 && strcmp(arguments[1], "serve") == 0) return activated();
  int listener = listen_loopback(4);
  CHECK(fcntl(listener, F_SETFD, FD_CLOEXEC) == 0);
  int kept = open("/dev/null", O_RDONLY), gone = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(kept >= 0 && gone >= 0);
  join_thread(start_thread(start, &listener));
  return 0;
}
