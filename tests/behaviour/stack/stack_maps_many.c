// What the kernel keeps for many threads with stacks of the default size stays proportionate: mappings, of
// which a process may have vm.max_map_count, and page tables. All threads wait, all are woken (in no order of
// addresses, and a third of them only for a moment, so that of neighbours some are in use and some idle), all
// end. Usage: stack_maps_many THREADS MAPPINGS BYTES_OF_PAGE_TABLES_A_THREAD
#include "check.h"

#include <fcntl.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go_on[3] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,
                                  PTHREAD_COND_INITIALIZER};
static long waiting, turn[3];
static int leave;

static void* wait_in_group(void* argument) {
  long group = (intptr_t)argument % 7 % 3, seen = 0;
  CHECK(pthread_mutex_lock(&lock) == 0);
  while (!leave) {
    ++waiting;
    while (seen == turn[group] && !leave) CHECK(pthread_cond_wait(&go_on[group], &lock) == 0);
    seen = turn[group];
    --waiting;
  }
  CHECK(pthread_mutex_unlock(&lock) == 0);
  return argument;
}

static void wait_for(long count) {
  for (;;) {
    CHECK(pthread_mutex_lock(&lock) == 0);
    long now = waiting;
    CHECK(pthread_mutex_unlock(&lock) == 0);
    if (now == count) return;
    nap(10);
  }
}

static void wake(int group) {
  CHECK(pthread_mutex_lock(&lock) == 0);
  ++turn[group];
  CHECK(pthread_cond_broadcast(&go_on[group]) == 0);
  CHECK(pthread_mutex_unlock(&lock) == 0);
}

static long lines_of_maps(void) {
  char part[65536];
  long lines = 0;
  ssize_t got;
  int fd = open("/proc/self/maps", O_RDONLY);
  CHECK(fd >= 0);
  while ((got = read(fd, part, sizeof(part))) > 0)
    for (ssize_t i = 0; i < got; ++i) lines += part[i] == '\n';
  close(fd);
  return lines;
}

static long bytes_of_page_tables(void) {
  char line[256];
  long kilobytes = -1;
  FILE* status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof(line), status) != NULL) sscanf(line, "VmPTE: %ld", &kilobytes);
  fclose(status);
  CHECK(kilobytes >= 0);
  return kilobytes * 1024;
}

static long most_maps;
static void check_kernel_memory(long count, long maps_before, long tables_before, long maps_allowed,
                                long bytes_allowed) {
  long maps = lines_of_maps() - maps_before;
  CHECK(maps <= maps_allowed);
  CHECK(bytes_of_page_tables() - tables_before <= bytes_allowed * count);
  if (maps > most_maps) most_maps = maps;
}

int main(int argument_count, char** arguments) {
  CHECK(argument_count == 4);
  long count = atol(arguments[1]), maps_allowed = atol(arguments[2]), bytes_allowed = atol(arguments[3]);
  pthread_t* thread = (pthread_t*)calloc((size_t)count, sizeof *thread);
  CHECK(thread != NULL);
  long maps = lines_of_maps(), tables = bytes_of_page_tables();
  for (long i = 0; i < count; ++i) thread[i] = start_thread(wait_in_group, number_pointer(i));
  wait_for(count);
  check_kernel_memory(count, maps, tables, maps_allowed, bytes_allowed);
  for (int round = 0; round < 2; ++round) {
    for (int group = 0; group < 3; ++group) {
      wake(group);
      check_kernel_memory(count, maps, tables, maps_allowed, bytes_allowed);
      wait_for(count);
      nap(100);
      check_kernel_memory(count, maps, tables, maps_allowed, bytes_allowed);
    }
  }
  CHECK(pthread_mutex_lock(&lock) == 0);
  leave = 1;
  CHECK(pthread_mutex_unlock(&lock) == 0);
  for (int group = 0; group < 3; ++group) wake(group);
  for (long i = 0; i < count; ++i) CHECK(join_thread(thread[i]) == number_pointer(i));
  check_kernel_memory(count, maps, tables, maps_allowed, bytes_allowed);
  if (getenv("SHOW") != NULL) fprintf(stderr, "maps %ld\n", most_maps);
  SAY("done");
  return 0;
}
