#include "tools/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/demangle.h"

namespace coshim::tools {

namespace {

constexpr double kStatisticsTimeout = 5;
constexpr double kSignalTimeout = 1;

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void pause_briefly() {
  timespec time = {0, 2000000};
  nanosleep(&time, nullptr);
}

// To the monitor alone: no system call of the program's is interrupted, and a process without one, which the
// signal would end, is not asked.
int ask(const Process& process, uint32_t what) {
  pid_t monitor = process.monitor_thread();
  if (monitor == 0) {
    if (!process.alive()) return fail(EX_NOINPUT, "process %d has ended", process.pid());
    return fail(EX_UNAVAILABLE, "process %d has created no thread yet, or its threads are native",
                process.pid());
  }
  // It may just have been started.
  for (double end = now() + kSignalTimeout; !process.takes_signal(monitor); pause_briefly()) {
    if (!process.alive()) return fail(EX_NOINPUT, "process %d has ended", process.pid());
    if (now() > end)
      return fail(EX_UNAVAILABLE,
                  "process %d handles signal %d itself; start it with another one in COSHIM_DUMP_SIGNAL",
                  process.pid(), process.dump_signal());
  }
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = static_cast<int>(what);
  if (syscall(SYS_rt_tgsigqueueinfo, process.pid(), monitor, process.dump_signal(), &info) == 0) return EX_OK;
  if (errno == EPERM) return fail(EX_NOPERM, "process %d: %s", process.pid(), strerror(EPERM));
  if (errno == ESRCH) return fail(EX_NOINPUT, "process %d has ended", process.pid());
  return fail(EX_OSERR, "process %d: %s", process.pid(), strerror(errno));
}

std::string file_of(const Process& process, const char* suffix) {
  char path[100];
  snprintf(path, sizeof(path), kSharedFileFormat, static_cast<unsigned>(process.user()), process.inner_pid(),
           suffix);
  return process.in_its_root(path);
}

// A regular file of the process's user, never through a link; -1 and errno where there is none.
int open_its_file(const Process& process, const std::string& path) {
  int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return -1;
  struct stat status;
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == process.user()) return fd;
  close(fd);
  errno = EPERM;
  return -1;
}

int no_answer(const Process& process, double seconds) {
  if (!process.alive()) return fail(EX_NOINPUT, "process %d has ended", process.pid());
  return fail(EX_TEMPFAIL, "process %d has not answered signal %d within %g s: it is stopped, or has no CPU",
              process.pid(), process.dump_signal(), seconds);
}

bool write_all(int fd, const std::string& text) {
  const char* data = text.data();
  for (size_t size = text.size(); size > 0;) {
    ssize_t wrote = write(fd, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

}  // namespace

StatisticsReader::~StatisticsReader() {
  unmap();
}

void StatisticsReader::unmap() {
  if (mapped_ != nullptr) munmap(const_cast<Statistics*>(mapped_), sizeof(Statistics));
  mapped_ = nullptr;
}

// EX_OK, EX_TEMPFAIL without a line (not there yet), or another status after one.
int StatisticsReader::map() {
  std::string path = file_of(process_, kStatisticsSuffix);
  int fd = open_its_file(process_, path);
  if (fd < 0) {
    if (errno == ENOENT) return EX_TEMPFAIL;
    return fail(EX_NOPERM, "%s: %s", path.c_str(), strerror(errno));
  }
  struct stat status;
  bool whole = fstat(fd, &status) == 0 && static_cast<size_t>(status.st_size) >= sizeof(Statistics);
  void* address = whole ? mmap(nullptr, sizeof(Statistics), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  // An older library's file may be shorter: its header tells.
  Statistics head{};
  bool known = pread(fd, &head, sizeof(head), 0) >= 16 && memcmp(head.magic, kStatisticsMagic, 8) == 0;
  close(fd);
  if (known && head.version != kStatisticsVersion) {
    if (address != MAP_FAILED) munmap(address, sizeof(Statistics));
    return fail(EX_UNAVAILABLE, "process %d has statistics of version %u; this launcher reads version %u",
                process_.pid(), head.version, kStatisticsVersion);
  }
  if (address == MAP_FAILED) return EX_TEMPFAIL;
  mapped_ = static_cast<const Statistics*>(address);
  return EX_OK;
}

// False while it is written, or is not newer than what was seen before.
bool StatisticsReader::copy(Statistics* result) const {
  uint64_t before = __atomic_load_n(&mapped_->sequence, __ATOMIC_ACQUIRE);
  if ((before & 1) != 0) return false;
  memcpy(result, mapped_, sizeof(*result));
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return __atomic_load_n(&mapped_->sequence, __ATOMIC_RELAXED) == before && result->updated != seen_ &&
         result->pid == process_.inner_pid() &&
         memcmp(result->magic, kStatisticsMagic, sizeof(result->magic)) == 0;
}

int StatisticsReader::read(Statistics* result) {
  // Mapped afresh: the file is another one when nobody asked for a while.
  unmap();
  seen_ = 0;
  int status = map();
  if (status != EX_OK && status != EX_TEMPFAIL) return status;
  // What stands there before asking is old; so is a file that a killed process with the same id left.
  if (status == EX_OK) seen_ = __atomic_load_n(&mapped_->updated, __ATOMIC_ACQUIRE);
  status = ask(process_, kAskStatistics);
  for (double end = now() + kStatisticsTimeout; status == EX_OK; pause_briefly()) {
    if (mapped_ != nullptr && copy(result)) return EX_OK;
    if (now() > end) return no_answer(process_, kStatisticsTimeout);
    // Its name may belong to a new file by now.
    unmap();
    int mapped = map();
    if (mapped != EX_OK && mapped != EX_TEMPFAIL) return mapped;
  }
  return status;
}

int fetch_dump(const Process& process, uint32_t what, double timeout_seconds, int out) {
  std::string path = file_of(process, kDumpSuffix);
  // One that nobody fetched.
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return fail(EX_NOPERM, "%s: %s", path.c_str(), strerror(errno));
  if (int status = ask(process, what)) return status;
  int fd;
  for (double end = now() + timeout_seconds; (fd = open_its_file(process, path)) < 0; pause_briefly()) {
    if (errno != ENOENT) return fail(EX_NOPERM, "%s: %s", path.c_str(), strerror(errno));
    if (now() > end) return no_answer(process, timeout_seconds);
  }
  unlink(path.c_str());
  bool json = what == kAskDumpJson || what == kAskDumpJsonFull;
  Demangler demangler(json);
  std::string text;  // read, and not written yet
  char block[65536];
  ssize_t got;
  bool good = true;
  while (good && (got = read(fd, block, sizeof(block))) > 0) {
    text.append(block, static_cast<size_t>(got));
    size_t lines = text.find_last_of(json ? ",}\n" : "\n") + 1;  // none of which is in a mangled name
    good = write_all(out, demangler.text(text.substr(0, lines)));
    text.erase(0, lines);
  }
  if (good) good = write_all(out, demangler.text(text));
  int error = errno;
  close(fd);
  return good ? EX_OK : fail(EX_IOERR, "can't write the dump: %s", strerror(error));
}

}  // namespace coshim::tools
