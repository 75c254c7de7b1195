#include "tools/figures.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"

namespace coshim::tools {

constexpr FigureKind kGauge = FigureKind::gauge, kCounter = FigureKind::counter;
using S = Statistics;

const Figure kFigures[] = {
    {"alive", "threads_alive", nullptr, kGauge, &S::alive, 1,
     "Threads of the program that are not joined or gone."},
    {"starting", "threads", "state=\"starting\"", kGauge, &S::starting, 1,
     "Threads of the program by state."},
    {"runnable", "threads", "state=\"runnable\"", kGauge, &S::runnable, 1, ""},
    {"running", "threads", "state=\"running\"", kGauge, &S::running, 1, ""},
    {"parked", "threads", "state=\"parked\"", kGauge, &S::parked, 1, ""},
    {"finished", "threads", "state=\"finished\"", kGauge, &S::finished, 1, ""},
    {"blocked", "threads_blocked", nullptr, kGauge, &S::blocked, 1,
     "Running threads that hold a kernel thread in a blocking call."},
    {"created", "threads_created_total", nullptr, kCounter, &S::created, 1,
     "Threads that the program created."},
    {"peak_alive", "threads_alive_peak", nullptr, kGauge, &S::peak_alive, 1,
     "The most threads alive at a time."},
    {"processors", "processors", nullptr, kGauge, &S::processors, 1,
     "Processors: threads that may run at a time."},
    {"processors_running", "processors_running", nullptr, kGauge, &S::processors_running, 1,
     "Processors that are not idle."},
    {"queued", "run_queue_length", nullptr, kGauge, &S::queued, 1, "Threads in the run queues."},
    {"workers", "workers", nullptr, kGauge, &S::workers, 1,
     "Hidden kernel threads that run the program's threads."},
    {"workers_peak", "workers_peak", nullptr, kGauge, &S::workers_peak, 1, "The most workers at a time."},
    {"kernel_threads", "kernel_threads", nullptr, kGauge, &S::kernel_threads, 1,
     "Kernel threads of the process."},
    {"kernel_threads_peak", "kernel_threads_peak", nullptr, kGauge, &S::kernel_threads_peak, 1,
     "The most kernel threads that were seen."},
    {"switches", "switches_total", nullptr, kCounter, &S::switches, 1,
     "Times a thread was given a processor."},
    {"wake_ups", "wake_ups_total", nullptr, kCounter, &S::wake_ups, 1, "Times a thread was made runnable."},
    {"worker_wake_ups", "worker_wake_ups_total", nullptr, kCounter, &S::worker_wake_ups, 1,
     "Times a sleeping kernel thread was woken for one."},
    {"hand_overs", "hand_overs_total", nullptr, kCounter, &S::hand_overs, 1,
     "Processors taken from a thread that blocked or computed."},
    {"steals", "steals_total", nullptr, kCounter, &S::steals, 1,
     "Threads that one processor took from another's queue."},
    {"long_calls", "long_calls_total", nullptr, kCounter, &S::long_calls, 1,
     "Blocking calls that gave their processor away at once."},
    {"blocking_calls", "blocking_calls_total", nullptr, kCounter, &S::blocking_calls, 1,
     "Calls that may block a kernel thread."},
    {"blocking_nanoseconds", "blocking_seconds_total", nullptr, kCounter, &S::blocking_nanoseconds, 1e-9,
     "Kernel threads' time in such calls."},
    {"stack_slots", "stack_slots", nullptr, kGauge, &S::stack_slots, 1, "Stacks made."},
    {"stack_slots_in_use", "stack_slots_in_use", nullptr, kGauge, &S::stack_slots_in_use, 1,
     "Stacks in use."},
    {"stack_reserved_bytes", "stack_reserved_bytes", nullptr, kGauge, &S::stack_reserved_bytes, 1,
     "Address space of all stacks."},
    {"stack_live_bytes", "stack_live_bytes", nullptr, kGauge, &S::stack_live_bytes, 1,
     "Bytes that parked threads have on their stacks."},
    {"stack_saved_bytes", "stack_saved_bytes", nullptr, kGauge, &S::stack_saved_bytes, 1,
     "Stacks kept outside of their places (modes shared and elastic)."},
    {"stack_deepest_bytes", "stack_deepest_bytes", nullptr, kGauge, &S::stack_deepest_bytes, 1,
     "The most of one stack that was seen touched since the start."},
    {"resident_bytes", "process_resident_bytes", nullptr, kGauge, &S::resident_bytes, 1,
     "Resident memory of the whole process."},
};
const size_t kFigureCount = sizeof(kFigures) / sizeof(kFigures[0]);

namespace {

[[gnu::format(printf, 2, 3)]] void append(std::string* text, const char* format, ...) {
  char line[1000];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  *text += line;
}

std::string version_of(const Statistics& statistics) {
  return std::string(statistics.library_version,
                     strnlen(statistics.library_version, sizeof(statistics.library_version)));
}

std::string with_labels(const std::string& common, const char* own) {
  std::string all = common;
  if (own != nullptr) all += (all.empty() ? "" : ",") + std::string(own);
  return all.empty() ? "" : "{" + all + "}";
}

void append_calls_prometheus(std::string* text, const Statistics& now, const std::string& labels) {
  static const struct {
    const char* metric;
    const char* help;
    uint64_t BlockedCall::*value;
    double scale;
  } kColumns[] = {
      {"blocking_call_calls_total", "Calls that may block a kernel thread, by function.", &BlockedCall::calls,
       1},
      {"blocking_call_blocked_total", "Those that lasted 100 us or longer.", &BlockedCall::blocked, 1},
      {"blocking_call_seconds_total", "Kernel threads' time in them.", &BlockedCall::nanoseconds, 1e-9}};
  for (const auto& column : kColumns) {
    append(text, "# HELP coshim_%s %s\n# TYPE coshim_%s counter\n", column.metric, column.help,
           column.metric);
    for (size_t i = 0; i < call_count(now); ++i) {
      std::string own = "call=" + json_string(call_name(now.calls[i])) + ",kind=\"" +
                        blocked_call_kind_name(now.calls[i].kind) + "\"";
      append(text, "coshim_%s%s %.15g\n", column.metric, with_labels(labels, own.c_str()).c_str(),
             static_cast<double>(now.calls[i].*column.value) * column.scale);
    }
  }
}

}  // namespace

const char* stack_mode_name(uint32_t mode) {
  static const char* const kNames[] = {"private", "shared", "elastic"};
  return mode < 3 ? kNames[mode] : "unknown";
}

const char* blocked_call_kind_name(BlockedCallKind kind) {
  switch (kind) {
    case BlockedCallKind::region:
      return "region";
    case BlockedCallKind::unhooked:
      return "unhooked";
    case BlockedCallKind::computing:
      return "computing";
  }
  return "unknown";
}

size_t call_count(const Statistics& statistics) {
  size_t count = 0;
  while (count < static_cast<size_t>(kBlockedCalls) && statistics.calls[count].name[0] != '\0') ++count;
  return count;
}

std::string call_name(const BlockedCall& call) {
  std::string name(call.name, strnlen(call.name, sizeof(call.name)));
  for (char& c : name) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name;
}

double rate(const Statistics& now, const Statistics& before, uint64_t value_now, uint64_t value_before) {
  double seconds = static_cast<double>(now.updated - before.updated) * 1e-9;
  return seconds > 0 && value_now > value_before ? static_cast<double>(value_now - value_before) / seconds
                                                 : 0;
}

std::string statistics_json(const Statistics& now, const Statistics* before) {
  std::string text;
  append(&text,
         "{\"pid\": %d, \"version\": %s, \"stack_mode\": \"%s\", \"started_ns\": %lld, \"updated_ns\": %lld",
         now.pid, json_string(version_of(now)).c_str(), stack_mode_name(now.stack_mode),
         static_cast<long long>(now.started), static_cast<long long>(now.updated));
  for (size_t i = 0; i < kFigureCount; ++i)
    append(&text, ", \"%s\": %llu", kFigures[i].key, static_cast<unsigned long long>(now.*kFigures[i].value));
  if (before != nullptr) {
    text += ", \"rates\": {";
    bool first = true;
    for (size_t i = 0; i < kFigureCount; ++i) {
      const Figure& figure = kFigures[i];
      if (figure.kind != kCounter) continue;
      append(&text, "%s\"%s\": %.3f", first ? "" : ", ", figure.key,
             rate(now, *before, now.*figure.value, before->*figure.value));
      first = false;
    }
    text += "}";
  }
  text += ", \"calls\": [";
  for (size_t i = 0; i < call_count(now); ++i) {
    const BlockedCall& call = now.calls[i];
    append(&text,
           "%s{\"name\": %s, \"kind\": \"%s\", \"calls\": %llu, \"blocked\": %llu, \"nanoseconds\": %llu}",
           i == 0 ? "" : ", ", json_string(call_name(call)).c_str(), blocked_call_kind_name(call.kind),
           static_cast<unsigned long long>(call.calls), static_cast<unsigned long long>(call.blocked),
           static_cast<unsigned long long>(call.nanoseconds));
  }
  return text + "]}\n";
}

std::string statistics_prometheus(const Statistics& now, const std::string& labels) {
  std::string text, last;
  std::string info =
      "version=" + json_string(version_of(now)) + ",stack_mode=\"" + stack_mode_name(now.stack_mode) + "\"";
  append(&text, "# HELP coshim_info The library in the process.\n# TYPE coshim_info gauge\ncoshim_info%s 1\n",
         with_labels(labels, info.c_str()).c_str());
  for (size_t i = 0; i < kFigureCount; ++i) {
    const Figure& figure = kFigures[i];
    if (last != figure.metric)
      append(&text, "# HELP coshim_%s %s\n# TYPE coshim_%s %s\n", figure.metric, figure.help, figure.metric,
             figure.kind == kGauge ? "gauge" : "counter");
    last = figure.metric;
    append(&text, "coshim_%s%s %.15g\n", figure.metric, with_labels(labels, figure.label).c_str(),
           static_cast<double>(now.*figure.value) * figure.scale);
  }
  append_calls_prometheus(&text, now, labels);
  return text;
}

std::string statistics_text(const Statistics& now) {
  std::string text;
  append(&text, "%-22s %d\n%-22s %s\n%-22s %s\n", "pid", now.pid, "version", version_of(now).c_str(),
         "stack_mode", stack_mode_name(now.stack_mode));
  for (size_t i = 0; i < kFigureCount; ++i)
    append(&text, "%-22s %llu\n", kFigures[i].key, static_cast<unsigned long long>(now.*kFigures[i].value));
  for (size_t i = 0; i < call_count(now); ++i) {
    const BlockedCall& call = now.calls[i];
    append(&text, "call %-24s %-9s calls %llu, blocked %llu, time %.3f s\n", call_name(call).c_str(),
           blocked_call_kind_name(call.kind), static_cast<unsigned long long>(call.calls),
           static_cast<unsigned long long>(call.blocked), static_cast<double>(call.nanoseconds) * 1e-9);
  }
  return text;
}

}  // namespace coshim::tools
