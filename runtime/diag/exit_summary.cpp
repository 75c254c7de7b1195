// The summary at exit (COSHIM_STATS=1): for processes that created a thread, once, on every orderly way out.
#include <fcntl.h>
#include <sys/mman.h>

#include <new>

#include "runtime/base/log.h"
#include "runtime/config.h"
#include "runtime/diag/describe.h"
#include "runtime/diag/statistics.h"
#include "runtime/sched/processor.h"

namespace coshim {

namespace {

std::atomic<pid_t> g_summarised{0};  // a process that has; not its parent

// proc(5): comm ends with a newline.
void read_program_name(char (&name)[32]) {
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
  long length = fd < 0 ? 0 : sys::call(SYS_read, fd, name, sizeof(name) - 1);
  if (fd >= 0) sys::close(static_cast<int>(fd));
  name[length > 0 ? length - 1 : 0] = '\0';
}

void print_seconds(Output& out, uint64_t nanoseconds) {
  out.print("%lu.%06lu s", nanoseconds / 1000000000, nanoseconds / 1000 % 1000000);
}

void print_summary(Output& out, const Statistics& s) {
  char name[32] = {};
  read_program_name(name);
  out.print("coshim: statistics of process %d (%s) after ", s.pid, name);
  print_seconds(out, static_cast<uint64_t>(s.updated - s.started));
  out.print("\ncoshim:   threads: %lu created, %lu alive at the peak, %lu now\n", s.created, s.peak_alive,
            s.alive);
  out.print("coshim:   kernel threads: %lu at the peak, of them %lu workers\n", s.kernel_threads_peak,
            s.workers_peak);
  out.print(
      "coshim:   switches: %lu, wake-ups: %lu, of kernel threads: %lu, processors handed on: %lu, steals: "
      "%lu\n",
      s.switches, s.wake_ups, s.worker_wake_ups, s.hand_overs, s.steals);
  print_blocked_calls(out, s, "coshim:   ");
}

struct Memory {
  Statistics statistics;
  Output output;
};

}  // namespace

void statistics_at_exit() {
  // Inside the runtime (a fault there, and the program's handler leaves): its locks may be held.
  if (!g_scheduler.started.load(std::memory_order_acquire) || g_scheduler.process != sys::getpid() ||
      t_local.critical != 0) {
    return;
  }
  statistics_remove();
  if (!g_config.stats || g_summarised.exchange(sys::getpid()) == sys::getpid()) return;
  // Not on the stack: a thread's may be small.
  long memory = sys::call(SYS_mmap, nullptr, sizeof(Memory), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return;
  auto* parts = reinterpret_cast<Memory*>(memory);
  new (&parts->output) Output(g_log_fd);
  collect_statistics(&parts->statistics);
  print_summary(parts->output, parts->statistics);
  parts->output.flush();
  sys::call(SYS_munmap, parts, sizeof(Memory));
}

}  // namespace coshim
