#include "runtime/diag/dump.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <new>

#include "runtime/base/log.h"
#include "runtime/base/native.h"
#include "runtime/config.h"
#include "runtime/diag/describe.h"
#include "runtime/diag/output.h"
#include "runtime/diag/running.h"
#include "runtime/diag/statistics.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/shared_switch.h"
#include "runtime/thread/pool.h"
#include "runtime/thread/signals.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kDumpStack = 512 * 1024;

std::atomic<uint32_t> g_requested{0};
std::atomic<bool> g_writing{false};

void on_dump_signal(int, siginfo_t* info, void* context) {
  if (is_freeze_request(info)) return freeze_here(context);
  if (stand_still_for_dump(context)) return;  // the dump itself asked for this kernel thread
  if (info->si_code == SI_QUEUE && static_cast<uint32_t>(info->si_value.sival_int) == kAskStatistics) {
    statistics_ask();
    monitor_wake_always();
    return;
  }
  g_requested.store(1, std::memory_order_release);
  monitor_wake_always();
}

// The dump's file: never through a link, never somebody else's file (0600, O_NOFOLLOW, regular or not at
// all).
int open_dump_file() {
  if (g_config.dump_path == nullptr) return 2;
  char path[4200];
  size_t length = 0;
  for (const char* p = g_config.dump_path; *p != '\0' && length + 16 < sizeof(path); ++p) {
    if (p[0] == '%' && p[1] == 'p') {
      length += format_text(path + length, sizeof(path) - length, "%d", sys::getpid());
      ++p;
    } else {
      path[length++] = *p;
    }
  }
  path[length] = '\0';
  long fd = sys::call(SYS_openat, AT_FDCWD, path,
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
  if (fd < 0) {
    COSHIM_LOG(error, "COSHIM_DUMP_PATH: can't open %s (error %ld); the dump goes to stderr", path, -fd);
    return 2;
  }
  return static_cast<int>(fd);
}

struct Counts {
  unsigned by_state[6] = {};
};

void count_one(Coroutine* coroutine, void* context) {
  unsigned state = static_cast<unsigned>(coroutine->state.load(std::memory_order_relaxed));
  if (state < 6) ++static_cast<Counts*>(context)->by_state[state];
}

void write_header(Output& out) {
  Counts counts;
  for_each_coroutine(&count_one, &counts);
  CoroutineCounts totals = coroutine_counts();
  int workers = 0;
  for (Worker* w = g_scheduler.workers.load(); w != nullptr; w = w->next) workers += w->tid != 0 ? 1 : 0;
  out.print("=== coshim %s dump of process %d ===\n", COSHIM_VERSION, sys::getpid());
  out.print("processors %d, running %d; workers %d; stack mode private\n", g_scheduler.processor_count,
            g_scheduler.running.load(), workers);
  out.print(
      "coroutines: %lu alive (%u running, %u runnable, %u parked, %u ended and not joined), %lu created, %lu "
      "at the peak\n",
      totals.alive, counts.by_state[3], counts.by_state[1] + counts.by_state[2], counts.by_state[4],
      counts.by_state[5], totals.created, totals.peak);
  out.print("calls that blocked a kernel thread: %lu long; processors handed on: %lu; steals: %lu\n",
            g_scheduler.long_calls.load(), g_scheduler.hand_overs.load(), g_scheduler.steals.load());
}

struct Writer {
  Output* out;
  Describer* describer;
};

void write_one(Coroutine* coroutine, void* context) {
  auto* writer = static_cast<Writer*>(context);
  writer->describer->describe(*writer->out, coroutine);
}

void* dump_main(void*) {
  t_local.critical = 1;
  sys::call(SYS_prctl, PR_SET_NAME, "coshim/dump");
  int fd = open_dump_file();
  {
    Output out(fd);
    Describer describer;
    write_header(out);
    Writer writer{&out, &describer};
    for_each_coroutine(&write_one, &writer);
    out.print("=== end of dump ===\n");
  }
  if (fd != 2) sys::close(fd);
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
  g_requested.store(0, std::memory_order_release);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kDumpStack);
  pthread_t thread;
  if (g_native.pthread_create(&thread, &attributes, &dump_main, nullptr) != 0) {
    COSHIM_LOG(error, "no kernel thread for the dump");
    g_writing.store(false, std::memory_order_release);
  }
  pthread_attr_destroy(&attributes);
}

}  // namespace coshim
