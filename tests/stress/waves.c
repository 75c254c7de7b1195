// Create, run, exit and join threads in waves, as many in all as the argument says, and see that nothing
// grows: memory, page tables, descriptors, mappings. Waves of different sizes; some threads are detached,
// some use their stack deeply, some have thread-local data with destructors, stacks of different sizes, some
// leave by pthread_exit or are cancelled. Usage: waves THREADS
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>

enum { LARGEST = 200, DEEP = 100000, QUARTERS = 4 };

static pthread_key_t key;
static __thread char own[64];
static long destroyed, ended, cancelled, keyed;

static void destroy(void* value) {
  free(value);
  __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void use_stack(size_t size) {
  volatile char local[size];
  for (size_t i = 0; i < size; i += 512) local[i] = (char)i;
  sched_yield();
  for (size_t i = 0; i < size; i += 512) CHECK(local[i] == (char)i);
}

static void* live(void* argument) {
  intptr_t number = (intptr_t)argument;
  CHECK(own[number % 64] == 0);
  own[number % 64] = 1;
  if (number % 16 == 1) {
    CHECK(pthread_setspecific(key, malloc(100)) == 0);
    __atomic_add_fetch(&keyed, 1, __ATOMIC_RELAXED);
  }
  if (number % 64 == 2) use_stack(DEEP);
  if (number % 128 == 3) nap(1);
  if (number % 256 == 4) {
    __atomic_add_fetch(&cancelled, 1, __ATOMIC_RELAXED);
    for (;;) nap(1000);
  }
  __atomic_add_fetch(&ended, 1, __ATOMIC_RELAXED);
  if (number % 32 == 5) pthread_exit(argument);
  return argument;
}

struct resources {
  long resident, page_tables, maps, descriptors;
};

static long field(const char* name) {
  char line[256];
  long value = -1;
  size_t length = strlen(name);
  FILE* status = fopen("/proc/self/status", "r");
  CHECK(status != NULL);
  while (fgets(line, sizeof(line), status) != NULL)
    if (strncmp(line, name, length) == 0 && line[length] == ':') value = atol(line + length + 1);
  fclose(status);
  CHECK(value >= 0);
  return value;
}

static struct resources look(void) {
  struct resources now = {field("VmRSS"), field("VmPTE"), 0, 0};
  char part[65536];
  int fd = open("/proc/self/maps", O_RDONLY);
  for (ssize_t got; (got = read(fd, part, sizeof(part))) > 0;)
    for (ssize_t i = 0; i < got; ++i) now.maps += part[i] == '\n';
  close(fd);
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) ++now.descriptors;
  closedir(directory);
  return now;
}

static void run_wave(long first, int size) {
  static pthread_t threads[LARGEST];
  static char detached[LARGEST];
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  for (int i = 0; i < size; ++i) {
    long number = first + i;
    detached[i] = number % 8 == 7;
    CHECK(pthread_attr_setstacksize(&attributes, number % 3 == 0 ? 8 << 20 : 256 << 10) == 0);
    CHECK(pthread_attr_setdetachstate(&attributes,
                                      detached[i] ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE) == 0);
    CHECK(pthread_create(&threads[i], &attributes, live, number_pointer(number)) == 0);
  }
  CHECK(pthread_attr_destroy(&attributes) == 0);
  for (int i = 0; i < size; ++i)
    if ((first + i) % 256 == 4) CHECK(pthread_cancel(threads[i]) == 0);
  for (int i = 0; i < size; ++i) {
    void* result = NULL;
    if (detached[i]) continue;
    CHECK(pthread_join(threads[i], &result) == 0);
    CHECK(result == ((first + i) % 256 == 4 ? PTHREAD_CANCELED : number_pointer(first + i)));
  }
}

// Detached ones may still be ending.
static void wait_for_all(long count, long to_be_cancelled) {
  while (__atomic_load_n(&ended, __ATOMIC_RELAXED) < count - to_be_cancelled) nap(1);
  nap(50);
}

int main(int argument_count, char** arguments) {
  long count = argument_count > 1 ? atol(arguments[1]) : 20000, done = 0, to_be_cancelled = 0;
  CHECK(pthread_key_create(&key, destroy) == 0);
  struct resources after[QUARTERS];
  for (int quarter = 0; quarter < QUARTERS; ++quarter) {
    for (long end = count / QUARTERS * (quarter + 1); done < end;) {
      int size = (int)(1 + (unsigned)(done * 2654435761u >> 7) % LARGEST);
      run_wave(done, size);
      for (int i = 0; i < size; ++i) to_be_cancelled += (done + i) % 256 == 4;
      done += size;
    }
    wait_for_all(done, to_be_cancelled);
    after[quarter] = look();
  }
  CHECK(destroyed == keyed);
  for (int quarter = 0; quarter < QUARTERS; ++quarter)
    fprintf(stderr, "after %d/4: resident %ld KiB, page tables %ld KiB, mappings %ld, descriptors %ld\n",
            quarter + 1, after[quarter].resident, after[quarter].page_tables, after[quarter].maps,
            after[quarter].descriptors);
  struct resources first = after[0], last = after[QUARTERS - 1];
  CHECK(last.resident <= first.resident + first.resident / 5 + 1024);
  CHECK(last.page_tables <= first.page_tables + first.page_tables / 5 + 64);
  CHECK(last.maps <= first.maps + 64);
  CHECK(last.descriptors <= first.descriptors + 1);
  SAY("nothing grew");
  return 0;
}
