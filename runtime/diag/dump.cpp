#include "runtime/diag/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "runtime/base/log.h"
#include "runtime/base/native.h"
#include "runtime/config.h"
#include "runtime/diag/describe.h"
#include "runtime/diag/running.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kDumpStack = 256 * 1024;
constexpr int kMostFiles = 10000;

// What was asked for: a bit each. Bit 0: as the environment says; the others: kAskDumpText and so on.
std::atomic<uint32_t> g_requested{0};
std::atomic<bool> g_writing{false};

struct Request {
  bool json, full, shared;  // shared: into kSharedFileFormat
};

Request request_of(int bit) {
  switch (bit) {
    case 0:
      return {g_config.dump_json, g_config.dump_full, false};
    case 1:
      return {false, g_config.dump_full, true};
    case 2:
      return {true, g_config.dump_full, true};
    case 3:
      return {false, true, true};
    default:
      return {true, true, true};
  }
}

void on_dump_signal(int, siginfo_t* info, void* context) {
  if (is_freeze_request(info)) return freeze_here(context);
  uint32_t value = info->si_code == SI_QUEUE ? static_cast<uint32_t>(info->si_value.sival_int) : 0;
  if (value == kStandStill) {
    stand_still_for_dump(context);
    return;
  }
  if (value == kAskStatistics) {
    statistics_ask();
  } else {
    int bit =
        value >= kAskDumpText && value <= kAskDumpJsonFull ? static_cast<int>(value - kAskStatistics) : 0;
    g_requested.fetch_or(1U << bit, std::memory_order_acq_rel);
  }
  monitor_wake_always();
}

// COSHIM_DUMP_PATH with the pid in the place of %p, and room for a number behind it.
bool expand_path(char* path, size_t size) {
  size_t length = 0;
  for (const char* p = g_config.dump_path; *p != '\0'; ++p) {
    if (length + 32 > size) return false;
    if (p[0] == '%' && p[1] == 'p') {
      length += format_text(path + length, size - length, "%d", sys::getpid());
      ++p;
    } else {
      path[length++] = *p;
    }
  }
  path[length] = '\0';
  return true;
}

// Never through a link, never somebody else's file, nothing but regular files.
constexpr int kOpenFlags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;

// Text dumps follow each other in one file; a lock keeps those of several processes apart, for as long as
// that takes no longer than a second.
long open_to_append(const char* path) {
  long fd = sys::call(SYS_openat, AT_FDCWD, path, kOpenFlags | O_APPEND, 0600);
  if (fd < 0) return fd;
  struct stat status {};
  long error = sys::call(SYS_fstat, fd, &status);
  if (error == 0 && !S_ISREG(status.st_mode)) error = -EINVAL;
  if (error == 0 && status.st_uid != static_cast<uid_t>(sys::call(SYS_geteuid))) error = -EPERM;
  if (error != 0) {
    sys::close(static_cast<int>(fd));
    return error;
  }
  for (int i = 0; i < 100 && sys::call(SYS_flock, fd, LOCK_EX | LOCK_NB) == -EWOULDBLOCK; ++i) {
    timespec pause{0, 10000000};
    sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
  return fd;
}

// Each JSON dump is a file of its own: PATH, PATH.1, PATH.2, ...
long open_numbered(char* path) {
  size_t length = strlen(path);
  for (int number = 0; number < kMostFiles; ++number) {
    if (number != 0) format_text(path + length, 32, ".%d", number);
    long fd = sys::call(SYS_openat, AT_FDCWD, path, kOpenFlags | O_EXCL, 0600);
    if (fd != -EEXIST) return fd;
  }
  return -EEXIST;
}

int open_configured(const Request& request) {
  if (g_config.dump_path == nullptr) return 2;
  static char path[4200];
  long fd = -ENAMETOOLONG;
  if (expand_path(path, sizeof(path))) fd = request.json ? open_numbered(path) : open_to_append(path);
  if (fd < 0) {
    COSHIM_LOG(error, "COSHIM_DUMP_PATH: can't write to %s (error %ld); the dump goes to stderr", path, -fd);
    return 2;
  }
  return static_cast<int>(fd);
}

void write_dump(int fd, const Request& request) {
  static Statistics statistics;  // large; there is one dump at a time
  collect_statistics(&statistics);
  Modules modules;
  Unwinder unwinder(&modules);
  Snapshot snapshot(&modules, &unwinder);
  SymbolTable symbols(&modules);
  Output out(fd);
  if (request.json) {
    write_json_dump(out, snapshot, &symbols, statistics);
  } else {
    write_text_dump(out, snapshot, &symbols, statistics, request.full);
  }
  out.flush();
  if (out.failed()) COSHIM_LOG(error, "the dump could not be written to its end");
}

// Whole when it appears under its name.
void write_shared_dump(const Request& request) {
  char path[64], part[80];
  shared_file_path(path, sizeof(path), kDumpSuffix);
  format_text(part, sizeof(part), "%s.part", path);
  sys::call(SYS_unlinkat, AT_FDCWD, part, 0);  // of a process that was killed while it wrote
  long fd = sys::call(SYS_openat, AT_FDCWD, part, kOpenFlags | O_EXCL, 0600);
  if (fd < 0) {
    COSHIM_LOG(error, "can't make %s (error %ld) for the dump", part, -fd);
    return;
  }
  write_dump(static_cast<int>(fd), request);
  sys::close(static_cast<int>(fd));
  sys::call(SYS_renameat2, AT_FDCWD, part, AT_FDCWD, path, 0);
}

void write_requested() {
  uint32_t bits = g_requested.exchange(0, std::memory_order_acq_rel);
  for (; bits != 0; bits &= bits - 1) {
    Request request = request_of(__builtin_ctz(bits));
    if (request.shared) {
      write_shared_dump(request);
      continue;
    }
    int fd = open_configured(request);
    write_dump(fd, request);
    if (fd != 2) sys::close(fd);
  }
}

void* dump_main(void*) {
  t_local.critical = 1;
  t_local.hidden = true;
  sys::call(SYS_prctl, PR_SET_NAME, "coshim/dump");
  write_requested();
  g_writing.store(false, std::memory_order_release);
  return nullptr;
}

}  // namespace

void dump_start() {
  if (g_config.dump_signal == 0) return;
  KernelAction current{};
  if (program_action(g_config.dump_signal, nullptr, &current) != 0) return;
  if (current.handler != reinterpret_cast<void*>(SIG_DFL)) return;  // the program's own handler wins
  install_own_handler(g_config.dump_signal, &on_dump_signal);
}

void dump_prepare() {
  KernelAction current{};
  sys::call(SYS_rt_sigaction, g_config.dump_signal, nullptr, &current, sizeof(sys::KernelSignalSet));
  if (current.handler == reinterpret_cast<void*>(SIG_DFL))
    install_own_handler(g_config.dump_signal, &on_dump_signal);
}

bool dump_signal_is_ours() {
  KernelAction current{};
  sys::call(SYS_rt_sigaction, g_config.dump_signal, nullptr, &current, sizeof(sys::KernelSignalSet));
  return current.handler == reinterpret_cast<void*>(&on_dump_signal);
}

bool dump_requested() {
  return g_requested.load(std::memory_order_acquire) != 0;
}

void dump_if_requested() {
  if (!dump_requested() || g_writing.exchange(true, std::memory_order_acq_rel)) return;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kernel_thread_stack(kDumpStack));
  pthread_t thread;
  if (g_native.pthread_create(&thread, &attributes, &dump_main, nullptr) != 0) {
    // No kernel thread, no memory for its stack: then the monitor itself, which meanwhile hands nothing on.
    write_requested();
    g_writing.store(false, std::memory_order_release);
  }
  pthread_attr_destroy(&attributes);
}

void dump_after_fork_in_child() {
  g_requested.store(0);
  g_writing.store(false);
}

}  // namespace coshim
