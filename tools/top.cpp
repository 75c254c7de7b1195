// coshim top: the figures of a process, again and again.
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "tools/ask.h"
#include "tools/command.h"
#include "tools/figures.h"
#include "tools/terminal.h"

namespace coshim::tools {

namespace {

struct CallRow {
  std::string name;
  const char* kind;
  double calls_rate, blocked_rate, time_rate;  // a second; time as a share of one kernel thread
  uint64_t calls, blocked, nanoseconds;
};

struct SortOrder {
  char key = 't';  // t(ime), c(alls), b(locked), n(ame)
  bool reverse = false;
};

[[gnu::format(printf, 2, 3)]] void append(std::string* text, const char* format, ...) {
  char line[500];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  *text += line;
}

std::string bytes(uint64_t count) {
  static const char* const kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(count);
  size_t unit = 0;
  for (; value >= 1024 && unit < 4; ++unit) value /= 1024;
  std::string text;
  append(&text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string duration(int64_t nanoseconds) {
  long long seconds = nanoseconds / 1000000000;
  std::string text;
  if (seconds >= 86400) append(&text, "%lldd ", seconds / 86400);
  append(&text, "%02lld:%02lld:%02lld", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
  return text;
}

const BlockedCall* find_call(const Statistics& statistics, const BlockedCall& wanted) {
  for (size_t i = 0; i < call_count(statistics); ++i) {
    const BlockedCall& call = statistics.calls[i];
    if (call.kind == wanted.kind && strncmp(call.name, wanted.name, sizeof(call.name)) == 0) return &call;
  }
  return nullptr;
}

std::vector<CallRow> call_rows(const Statistics& now, const Statistics& before, SortOrder order) {
  static const BlockedCall kNone{};
  std::vector<CallRow> rows;
  for (size_t i = 0; i < call_count(now); ++i) {
    const BlockedCall& call = now.calls[i];
    const BlockedCall* then = find_call(before, call);
    if (then == nullptr) then = &kNone;
    rows.push_back({call_name(call), blocked_call_kind_name(call.kind),
                    rate(now, before, call.calls, then->calls),
                    rate(now, before, call.blocked, then->blocked),
                    rate(now, before, call.nanoseconds, then->nanoseconds) * 1e-9, call.calls, call.blocked,
                    call.nanoseconds});
  }
  std::stable_sort(rows.begin(), rows.end(), [order](const CallRow& a, const CallRow& b) {
    const CallRow& x = order.reverse ? b : a;
    const CallRow& y = order.reverse ? a : b;
    switch (order.key) {
      case 'n':
        return x.name < y.name;
      case 'c':
        return x.calls_rate != y.calls_rate ? x.calls_rate > y.calls_rate : x.calls > y.calls;
      case 'b':
        return x.blocked_rate != y.blocked_rate ? x.blocked_rate > y.blocked_rate : x.blocked > y.blocked;
      default:
        return x.time_rate != y.time_rate ? x.time_rate > y.time_rate : x.nanoseconds > y.nanoseconds;
    }
  });
  return rows;
}

void append_summary(std::string* text, const Statistics& s, const Statistics& before) {
  auto per_second = [&](uint64_t Statistics::*figure) { return rate(s, before, s.*figure, before.*figure); };
  auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  append(
      text,
      "threads   %llu alive: %llu running (%llu in blocking calls), %llu runnable, %llu parked, %llu ended\n",
      number(s.alive), number(s.running + s.starting), number(s.blocked), number(s.runnable),
      number(s.parked), number(s.finished));
  append(text, "          %llu created (%.1f/s), %llu at the peak\n", number(s.created),
         per_second(&Statistics::created), number(s.peak_alive));
  append(
      text,
      "kernel    %llu threads (%llu at the peak), %llu workers; %llu of %llu processors run, %llu queued\n",
      number(s.kernel_threads), number(s.kernel_threads_peak), number(s.workers),
      number(s.processors_running), number(s.processors), number(s.queued));
  append(text,
         "rates/s   switches %.0f, wake-ups %.0f, kernel threads woken %.0f, hand-overs %.1f, steals %.1f\n",
         per_second(&Statistics::switches), per_second(&Statistics::wake_ups),
         per_second(&Statistics::worker_wake_ups), per_second(&Statistics::hand_overs),
         per_second(&Statistics::steals));
  append(text, "          blocking calls %.1f, of these long %.1f, kernel threads busy with them %.2f\n",
         per_second(&Statistics::blocking_calls), per_second(&Statistics::long_calls),
         per_second(&Statistics::blocking_nanoseconds) * 1e-9);
  append(
      text,
      "memory    %s resident; stacks: %llu of %llu in use, %s live, %s saved, %s reserved, %s the deepest\n",
      bytes(s.resident_bytes).c_str(), number(s.stack_slots_in_use), number(s.stack_slots),
      bytes(s.stack_live_bytes).c_str(), bytes(s.stack_saved_bytes).c_str(),
      bytes(s.stack_reserved_bytes).c_str(), bytes(s.stack_deepest_bytes).c_str());
}

std::string screen(const Process& process, const Statistics& now, const Statistics& before, SortOrder order) {
  std::string text;
  append(&text, "coshim top: %s (%d), up %s, stack mode %s\n", process.name().c_str(), process.pid(),
         duration(now.updated - now.started).c_str(), stack_mode_name(now.stack_mode));
  append_summary(&text, now, before);
  append(&text, "\n*%-24s %-9s %10s %10s %8s %12s %12s %10s\n", "BLOCKING CALL", "KIND", "CALLS/s",
         "BLOCKED/s", "BUSY", "CALLS", "BLOCKED", "SECONDS");
  for (const CallRow& row : call_rows(now, before, order)) {
    append(&text, " %-24s %-9s %10.1f %10.1f %8.2f %12llu %12llu %10.3f\n", row.name.c_str(), row.kind,
           row.calls_rate, row.blocked_rate, row.time_rate, static_cast<unsigned long long>(row.calls),
           static_cast<unsigned long long>(row.blocked), static_cast<double>(row.nanoseconds) * 1e-9);
  }
  append(&text, "\nsorted by %s%s; keys: t time, c calls, b blocked, n name, r reverse, q quit\n",
         order.key == 'n'   ? "name"
         : order.key == 'c' ? "calls"
         : order.key == 'b' ? "blocked"
                            : "time",
         order.reverse ? ", reversed" : "");
  return text;
}

void pause_for(double seconds) {
  timespec time;
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>((seconds - static_cast<double>(time.tv_sec)) * 1e9);
  nanosleep(&time, nullptr);
}

// For scripts: a line of JSON an interval, or the table once.
int print(const Process& process, double interval, bool once, bool json) {
  StatisticsReader reader(process);
  Statistics before, now;
  if (int status = reader.read(&before)) return status;
  do {
    pause_for(interval);
    if (int status = reader.read(&now)) return status;
    std::string text = json ? statistics_json(now, &before) : screen(process, now, before, SortOrder{});
    if (!json) text.erase(text.rfind("\nsorted by")).erase(text.find('*'), 1);
    if (fputs(text.c_str(), stdout) < 0 || fflush(stdout) != 0)
      return fail(EX_IOERR, "can't write the output");
    before = now;
  } while (!once);
  return EX_OK;
}

int watch(const Process& process, double interval) {
  StatisticsReader reader(process);
  Statistics before, now;
  if (int status = reader.read(&before)) return status;
  now = before;
  SortOrder order;
  Terminal terminal;
  for (int key = 0; key >= 0;) {
    terminal.show(screen(process, now, before, order));
    key = terminal.wait_for_key(interval);
    if (key > 0 && strchr("tcbn", key) != nullptr) order.key = static_cast<char>(key);
    if (key == 'r') order.reverse = !order.reverse;
    if (key != 0) continue;
    Statistics last = now;
    if (int status = reader.read(&now)) return status;
    before = last;
  }
  return EX_OK;
}

int run(int argc, char** argv) {
  static const option kOptions[] = {{"interval", required_argument, nullptr, 'i'},
                                    {"once", no_argument, nullptr, '1'},
                                    {"json", no_argument, nullptr, 'j'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {}};
  double interval = 1;
  bool once = false, json = false;
  for (int c; (c = getopt_long(argc, argv, "i:1jh", kOptions, nullptr)) != -1;) {
    char* end;
    switch (c) {
      case 'i':
        interval = strtod(optarg, &end);
        if (end == optarg || *end != '\0' || !(interval >= 0.1 && interval <= 3600))
          return misuse("--interval: not a number of seconds from 0.1 to 3600: %s", optarg);
        break;
      case '1':
        once = true;
        break;
      case 'j':
        json = true;
        break;
      case 'h':
        return print_help();
      default:
        return EX_USAGE;
    }
  }
  if (argc - optind != 1) return misuse("one process id is needed");
  if (!once && !json && !Terminal::there()) return misuse("this is no terminal: --once or --json is needed");
  Process process;
  if (int status = process.open(argv[optind])) return status;
  return once || json ? print(process, interval, once, json) : watch(process, interval);
}

}  // namespace

const Command kTop = {
    "top", "top [--interval SECONDS] [--once] [--json] PID",
    "threads by state, rates and memory of a process, live",
    "  -i, --interval SECONDS  between two looks (1)\n"
    "  -1, --once              one table with the rates of one interval, then end\n"
    "  -j, --json              a line of JSON an interval instead of the screen\n"
    "\n"
    "Keys: t, c, b, n sort the blocking calls by time, calls, blocked calls or name; r reverses;\n"
    "q ends. BUSY is how many kernel threads such calls kept busy.\n",
    &run};

}  // namespace coshim::tools
