#include "runtime/stack/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <atomic>

#include "runtime/base/log.h"
#include "runtime/base/sandbox.h"
#include "runtime/base/system_call.h"

namespace coshim {

std::atomic<int> g_stack_protection{PROT_READ | PROT_WRITE};

namespace {

constexpr size_t kPage = 4096;
constexpr int kGuardInstall = 102, kGuardRemove = 103;  // madvise(2), Linux 6.13
constexpr int kUserModeOnly = 1;                        // UFFD_USER_MODE_ONLY
constexpr int kSelf = -10000;                           // PIDFD_SELF_THREAD_GROUP, Linux 6.14
constexpr size_t kVector = 64;

std::atomic<int> g_fd{-1};
std::atomic<bool> g_no_vectors{false};

uffdio_range range_of(const void* low, size_t size) {
  return {reinterpret_cast<uintptr_t>(low), size};
}

long register_with(int fd, void* base, size_t size) {
  uffdio_register request{};
  request.range = range_of(base, size);
  request.mode = UFFDIO_REGISTER_MODE_WP;
  return sys::call(SYS_ioctl, fd, UFFDIO_REGISTER, &request);
}

long change_protection(const Stretch& run, int protection) {
  return sys::call(SYS_mprotect, run.low, run.size, protection);
}

// 0 or -errno; *done says how far it came.
long copy_with(int fd, void* low, const void* contents, size_t size, size_t* done) {
  while (*done < size) {
    uffdio_copy request{};
    request.dst = reinterpret_cast<uintptr_t>(low) + *done;
    request.src = reinterpret_cast<uintptr_t>(contents) + *done;
    request.len = size - *done;
    long result = sys::call(SYS_ioctl, fd, UFFDIO_COPY, &request);
    if (request.copy > 0) *done += static_cast<size_t>(request.copy);
    if (result < 0 && result != -EAGAIN && request.copy <= 0) return result;
  }
  return 0;
}

bool contains(const char* page, char value) {
  for (size_t i = 0; i < kPage; ++i) {
    if (page[i] != value) return false;
  }
  return true;
}

const char* try_out(int fd, char* memory) {
  char* contents = memory + kPage;
  memset(memory, 1, kPage);
  memset(contents, 2, kPage);
  if (register_with(fd, memory, kPage) != 0) return "userfaultfd does not register anonymous memory";
  if (sys::call(SYS_madvise, memory, kPage, kGuardInstall) != 0) return "the kernel lacks MADV_GUARD_INSTALL";
  size_t done = 0;
  if (copy_with(fd, memory, contents, kPage, &done) != 0) return "UFFDIO_COPY does not replace a guard";
  memory[0] = 2;
  return contains(memory, 2) ? nullptr : "UFFDIO_COPY gave other bytes";
}

}  // namespace

int pager_open(const char** reason) {
  if (under_seccomp()) {
    *reason = "a seccomp filter is in force";
    return -EPERM;
  }
  int fd = static_cast<int>(sys::call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly));
  if (fd < 0) {
    *reason = "userfaultfd(2) is not permitted or not there";
    return fd;
  }
  uffdio_api api{};
  api.api = UFFD_API;
  api.features =
      UFFD_FEATURE_PAGEFAULT_FLAG_WP;  // for a kind of registration that leaves first touches alone
  long memory =
      sys::call(SYS_mmap, nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (sys::call(SYS_ioctl, fd, UFFDIO_API, &api) != 0) {
    *reason = "userfaultfd does not write-protect";
  } else if (memory < 0) {
    *reason = "no memory to try userfaultfd on";
  } else {
    *reason = try_out(fd, reinterpret_cast<char*>(memory));
  }
  if (memory > 0) sys::call(SYS_munmap, memory, 2 * kPage);
  if (*reason == nullptr) return fd;
  sys::close(fd);
  return -ENOSYS;
}

void pager_use(int fd) {
  g_fd.store(fd);
}

bool pager_active() {
  return g_fd.load(std::memory_order_relaxed) >= 0;
}

bool pager_moved(int from, int to) {
  if (from < 0 || from != g_fd.load()) return false;
  g_fd.store(to);
  return true;
}

long pager_register(void* base, size_t size) {
  return register_with(g_fd.load(), base, size);
}

long pager_freeze(const Stretch& run) {
  return change_protection(run, PROT_READ);
}

void pager_thaw(const Stretch& run) {
  bool told = false;
  while (change_protection(run, g_stack_protection.load()) != 0) {
    if (!told) COSHIM_LOG(warn, "no memory to make a stack accessible again; trying again");
    told = true;
    sys::yield();
  }
}

namespace {

// One call for all of them, where the kernel has it for the calling process. False: none was done, or not
// all.
bool advise_all(const Stretch* stretches, size_t count, int advice) {
  if (count < 2 || count > kVector || g_no_vectors.load(std::memory_order_relaxed)) return false;
  if (noted_seccomp()) return false;  // a call that the program itself would not make
  iovec vector[kVector];
  size_t total = 0, used = 0;
  for (size_t i = 0; i < count; ++i) {
    if (stretches[i].size == 0) continue;
    vector[used++] = {stretches[i].low, stretches[i].size};
    total += stretches[i].size;
  }
  long done = sys::call(SYS_process_madvise, kSelf, vector, used, advice, 0);
  if (done < 0) g_no_vectors.store(true, std::memory_order_relaxed);
  return done == static_cast<long>(total);
}

}  // namespace

size_t pager_take_away(const Stretch& run, const Stretch* stretches, size_t count) {
  bool closed = change_protection(run, PROT_NONE) == 0;
  size_t taken = 0;
  if (closed && advise_all(stretches, count, kGuardInstall)) taken = count;
  while (closed && taken < count &&
         sys::call(SYS_madvise, stretches[taken].low, stretches[taken].size, kGuardInstall) == 0) {
    ++taken;
  }
  pager_thaw(run);
  return taken;
}

bool pager_close(const Stretch& run, const Stretch& shared) {
  if (change_protection(run, PROT_NONE) != 0) return false;
  sys::call(SYS_madvise, run.low, run.size, kGuardRemove);
  sys::call(SYS_madvise, shared.low, shared.size, MADV_DONTNEED);
  return true;
}

void pager_guard(const Stretch* stretches, size_t count) {
  if (advise_all(stretches, count, kGuardInstall)) return;
  bool told = false;
  for (size_t i = 0; i < count;) {
    long result = sys::call(SYS_madvise, stretches[i].low, stretches[i].size, kGuardInstall);
    if (result == 0) {
      ++i;
    } else if (result == -EINVAL) {  // locked meanwhile
      sys::call(SYS_munlock, stretches[i].low, stretches[i].size);
    } else {
      if (!told) COSHIM_LOG(warn, "no memory to make a stack accessible again; trying again");
      told = true;
      sys::yield();
    }
  }
}

bool pager_try_open(const Stretch& run) {
  return change_protection(run, g_stack_protection.load()) == 0;
}

void pager_drop(const Stretch* stretches, size_t count) {
  if (advise_all(stretches, count, MADV_DONTNEED)) return;
  for (size_t i = 0; i < count; ++i) {
    if (stretches[i].size != 0) sys::call(SYS_madvise, stretches[i].low, stretches[i].size, MADV_DONTNEED);
  }
}

void pager_bring_back(void* low, const void* contents, size_t size) {
  bool told = false;
  size_t done = 0;
  while (long result = copy_with(g_fd.load(), low, contents, size, &done)) {
    COSHIM_CHECK(result == -ENOMEM);
    if (!told) COSHIM_LOG(warn, "no memory to bring a saved stack back; trying again");
    told = true;
    sys::yield();
  }
}

void pager_open_in_child(void* low, size_t size) {
  sys::call(SYS_madvise, low, size, kGuardRemove);
}

void pager_reset_after_fork() {
  int fd = g_fd.exchange(-1);
  if (fd >= 0) sys::close(fd);  // it would act on the parent's memory
}

}  // namespace coshim
