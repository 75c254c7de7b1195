// A userfaultfd(2) descriptor of the program's own: a thread waits for faults and answers them, while others,
// who touch the memory, wait for the answers: in read(2), and with O_NONBLOCK in poll(2) (without, poll says
// POLLERR). Skipped (77) where not permitted.
#include "check.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { pages = 12, page = 4096 };

static char* memory;
static int faults;

static void* answer_faults(void* argument) {
  static _Alignas(4096) char content[page];
  for (int i = 0; i < pages; ++i) {
    struct pollfd entry = {faults, POLLIN, 0};
    struct uffd_msg message;
    if (argument != NULL) {
      // One thread more in poll(2) may have been told of the same fault.
      do {
        CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLIN);
      } while (read(faults, &message, sizeof message) == -1 && errno == EAGAIN);
    } else {
      CHECK(poll(&entry, 1, -1) == 1 && entry.revents == POLLERR);
      CHECK(read(faults, &message, sizeof message) == sizeof message);
    }
    CHECK(message.event == UFFD_EVENT_PAGEFAULT);
    size_t number = ((uintptr_t)message.arg.pagefault.address - (uintptr_t)memory) / page;
    CHECK(number < pages);
    memset(content, (int)('a' + number), page);
    nap(3);
    struct uffdio_copy copy = {(uintptr_t)memory + number * page, (uintptr_t)content, page, 0, 0};
    CHECK(ioctl(faults, UFFDIO_COPY, &copy) == 0);
  }
  return argument;
}

static void* touch(void* argument) {
  size_t number = (size_t)(uintptr_t)argument;
  return number_pointer(((volatile char*)memory)[number * page + 7]);
}

static void fault_with(int flags) {
  char seen[pages + 1] = "";
  faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | flags);
  struct uffdio_api api = {UFFD_API, 0, 0};
  if (faults < 0 || ioctl(faults, UFFDIO_API, &api) != 0) _exit(77);
  memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  struct uffdio_register range = {{(uintptr_t)memory, pages * page}, UFFDIO_REGISTER_MODE_MISSING, 0};
  CHECK(ioctl(faults, UFFDIO_REGISTER, &range) == 0);
  pthread_t answers = start_thread(answer_faults, flags == 0 ? NULL : memory), threads[pages];
  for (int i = 0; i < pages; ++i) threads[i] = start_thread(touch, number_pointer(i));
  for (int i = 0; i < pages; ++i) seen[i] = (char)(intptr_t)join_thread(threads[i]);
  join_thread(answers);
  SAY("%s", seen);
  CHECK(close(faults) == 0 && munmap(memory, pages * page) == 0);
}

int main(void) {
  fault_with(0);
  fault_with(O_NONBLOCK);
  return 0;
}
