#include "runtime/sched/saver.h"

#include <sys/prctl.h>

#include "runtime/config.h"
#include "runtime/sched/processor.h"
#include "runtime/stack/elastic.h"
#include "runtime/thread/hidden_thread.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kSaverStack = 64 * 1024;
constexpr Nanoseconds kShortestPause = 5000000;
// The share of one CPU that looking may take.
constexpr Nanoseconds kPausePerWork = 20;

std::atomic<uint32_t> g_wake_word{0};

bool all_idle() {
  return g_scheduler.monitor_asleep.load(std::memory_order_seq_cst) &&
         g_scheduler.running.load(std::memory_order_seq_cst) == 0;
}

void pause(Nanoseconds interval) {
  timespec rest = to_timespec(interval);
  sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &rest, nullptr);
}

void sleep_until_work(uint32_t seen) {
  while (all_idle() && g_wake_word.load(std::memory_order_seq_cst) == seen) {
    sys::futex_wait(&g_wake_word, seen, nullptr);
  }
}

void* saver_main(void*) {
  t_local.critical = 1;
  t_local.hidden = true;
  sys::call(SYS_prctl, PR_SET_NAME, "coshim/saver");
  const bool save = g_config.stack_mode == StackMode::elastic;
  const Nanoseconds idle = g_config.stack_idle;
  const Nanoseconds usual = idle / 2 > kShortestPause ? idle / 2 : kShortestPause;
  for (;;) {
    uint32_t seen = g_wake_word.load(std::memory_order_seq_cst);
    bool quiet = all_idle();
    Nanoseconds began = monotonic_now();
    IdleScan scan = elastic_scan(idle, save);
    Nanoseconds took = (monotonic_now() - began) * kPausePerWork;
    // What a look found to save does not count: there is work left perhaps.
    if (quiet && scan.handled == 0 && scan.remaining == 0) sleep_until_work(seen);
    pause(scan.handled == 0 && took > usual ? took : usual);
  }
  return nullptr;
}

}  // namespace

void saver_wake() {
  g_wake_word.fetch_add(1, std::memory_order_seq_cst);
  sys::futex_wake(&g_wake_word, 1);
}

bool saver_start() {
  return start_hidden_thread(&saver_main, nullptr, kernel_thread_stack(kSaverStack)) == 0;
}

}  // namespace coshim
