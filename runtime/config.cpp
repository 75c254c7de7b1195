#include "runtime/config.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

#include "runtime/base/log.h"
#include "runtime/base/parse.h"
#include "runtime/base/system_call.h"

namespace coshim {

Config g_config;

namespace {

constexpr size_t kMinimumStack = size_t{16} << 10;
// More than half the 47-bit address space of x86-64 can't be had; the limit keeps later sums of sizes from
// overflowing.
constexpr size_t kMaximumSize = size_t{1} << 46;
constexpr int kDefaultDumpSignal = 63;  // SIGRTMAX-1 where the kernel's SIGRTMAX is 64
constexpr Nanoseconds kMillisecond = 1000000;
constexpr Nanoseconds kSecond = 1000 * kMillisecond;

// What g_config must not point at in the environment is copied: programs that change their title (nginx,
// redis) write over the environment's memory.
char g_native_patterns[4096];
char g_dump_path[PATH_MAX];

// What is needed only until read_config returns. These point into the environment.
struct Requested {
  bool disable;
  const char* only;
  const char* skip;
  const char* log_path;
};
Requested g_requested;

// The descriptor that COSHIM_LOG_PATH opened, or -1.
int g_opened_log = -1;

enum class Outcome : uint8_t { good, malformed, unsupported };

// ---- one function a variable: takes the value over, or leaves the default in place

Outcome outcome(bool good) {
  return good ? Outcome::good : Outcome::malformed;
}

// `value` is valid, but anything else than the default needs a part that does not exist yet.
Outcome only_default(bool good, bool is_default) {
  if (!good) return Outcome::malformed;
  return is_default ? Outcome::good : Outcome::unsupported;
}

bool one_of(const char* text, const char* first, const char* second) {
  return strcmp(text, first) == 0 || strcmp(text, second) == 0;
}

template <size_t Size>
Outcome keep(const char* text, char (&buffer)[Size], const char** kept) {
  size_t length = strlen(text);
  if (length == 0 || length >= Size) return Outcome::malformed;
  memcpy(buffer, text, length + 1);
  *kept = buffer;
  return Outcome::good;
}

bool has_pattern(const char* text) {
  return text[strspn(text, ",;")] != '\0';
}

Outcome read_patterns(const char* text, const char** patterns) {
  if (!has_pattern(text)) return Outcome::malformed;
  *patterns = text;
  return Outcome::good;
}

Outcome read_bytes(const char* text, size_t minimum, size_t* target) {
  size_t size = 0;
  if (!parse_size(text, &size) || size < minimum || size > kMaximumSize) return Outcome::malformed;
  *target = size;
  return Outcome::good;
}

Outcome read_stack_size(const char* text) {
  return read_bytes(text, kMinimumStack, &g_config.stack_size);
}

// 0 is refused: without a guard an overflow would silently destroy a neighbour.
Outcome read_guard_size(const char* text) {
  return read_bytes(text, 1, &g_config.guard_size);
}

Outcome read_stack_mode(const char* text) {
  g_config.stack_mode_given = true;
  if (strcmp(text, "elastic") == 0) {
    g_config.stack_mode = StackMode::elastic;
  } else if (strcmp(text, "shared") == 0) {
    g_config.stack_mode = StackMode::shared;
  } else if (strcmp(text, "private") == 0) {
    g_config.stack_mode = StackMode::private_stack;
  } else {
    return Outcome::malformed;
  }
  return Outcome::good;
}

Outcome read_shared_stacks(const char* text) {
  uint64_t stacks = 0;
  if (!parse_integer(text, 1, 1024, &stacks)) return Outcome::malformed;
  g_config.shared_stacks = static_cast<int>(stacks);
  return Outcome::good;
}

Outcome read_stack_idle(const char* text) {
  return parse_duration(text, kSecond, &g_config.stack_idle) ? Outcome::good : Outcome::malformed;
}

Outcome read_workers(const char* text) {
  uint64_t workers = 0;
  if (!parse_integer(text, 1, 1024, &workers)) return Outcome::malformed;
  g_config.workers = static_cast<int>(workers);
  return Outcome::good;
}

Outcome read_hog_time(const char* text) {
  Nanoseconds time = 0;
  if (!parse_duration(text, kMillisecond, &time) || time == 0) return Outcome::malformed;
  g_config.hog_time = time;
  return Outcome::good;
}

Outcome read_blocking(const char* text) {
  uint64_t limit = 0;
  if (!parse_integer(text, 1, 100000, &limit)) return Outcome::malformed;
  g_config.blocking_limit = static_cast<int>(limit);
  return Outcome::good;
}

Outcome read_io(const char* text) {
  return only_default(one_of(text, "epoll", "uring"), strcmp(text, "epoll") == 0);
}

Outcome read_native(const char* text) {
  if (!has_pattern(text)) return Outcome::malformed;
  return keep(text, g_native_patterns, &g_config.native_patterns);
}

Outcome read_only(const char* text) {
  return read_patterns(text, &g_requested.only);
}
Outcome read_skip(const char* text) {
  return read_patterns(text, &g_requested.skip);
}

// Refused: what can't be caught, glibc's own two (nptl(7)), and faults, whose handler would return to the
// fault for ever.
bool usable_for_dump(int signal) {
  switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case 32:
    case 33:
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
      return false;
    default:
      return true;
  }
}

Outcome read_dump_signal(const char* text) {
  int signal = 0;
  if (!parse_signal(text, &signal) || !usable_for_dump(signal)) return Outcome::malformed;
  g_config.dump_signal = signal;
  return Outcome::good;
}

Outcome read_dump_path(const char* text) {
  return keep(text, g_dump_path, &g_config.dump_path);
}

Outcome read_dump_format(const char* text) {
  if (!one_of(text, "text", "json")) return Outcome::malformed;
  g_config.dump_json = text[0] == 'j';
  return Outcome::good;
}

Outcome read_dump_full(const char* text) {
  return outcome(parse_boolean(text, &g_config.dump_full));
}

Outcome read_log_level(const char* text) {
  static constexpr struct {
    const char* name;
    LogLevel level;
  } kLevels[] = {{"error", LogLevel::error},
                 {"warn", LogLevel::warn},
                 {"info", LogLevel::info},
                 {"debug", LogLevel::debug}};
  for (const auto& known : kLevels) {
    if (strcmp(text, known.name) == 0) {
      g_log_level = known.level;
      return Outcome::good;
    }
  }
  return Outcome::malformed;
}

Outcome read_log_path(const char* text) {
  if (*text == '\0') return Outcome::malformed;
  g_requested.log_path = text;
  return Outcome::good;
}

Outcome read_stats(const char* text) {
  return outcome(parse_boolean(text, &g_config.stats));
}
Outcome read_strict(const char* text) {
  return outcome(parse_boolean(text, &g_config.strict));
}
Outcome read_disable(const char* text) {
  return outcome(parse_boolean(text, &g_requested.disable));
}

// ---- the table

struct Row {
  ConfigVariable variable;
  Outcome (*read)(const char* text);
};

constexpr Row kRows[] = {
    {{"COSHIM_STACK_SIZE", "stack of a thread: bytes, K, M or G, from 16K on",
      "the program's attribute, else RLIMIT_STACK"},
     read_stack_size},
    {{"COSHIM_STACK_MODE", "how stacks are kept: private, shared or elastic",
      "elastic where the kernel has what it needs, else private"},
     read_stack_mode},
    {{"COSHIM_SHARED_STACKS", "stacks a processor in stack mode shared: 1 to 1024", "4"}, read_shared_stacks},
    {{"COSHIM_STACK_IDLE",
      "idle time before an elastic stack is saved: ns, us, ms or s; a plain number is seconds", "1s"},
     read_stack_idle},
    {{"COSHIM_GUARD_SIZE", "guard below a stack: bytes, K, M or G, from 1 on", "the attribute's"},
     read_guard_size},
    {{"COSHIM_WORKERS", "processors, that is threads running at a time: 1 to 1024",
      "the CPUs in the affinity mask"},
     read_workers},
    {{"COSHIM_HOG_MS",
      "time without a switch before the monitor hands a processor on, above 0: ns, us, ms or s; a plain "
      "number is "
      "milliseconds",
      "10"},
     read_hog_time},
    {{"COSHIM_BLOCKING",
      "kernel threads in look-ups of names at once, and as many in file locks and System V IPC: 1 to 100000",
      "64"},
     read_blocking},
    {{"COSHIM_IO", "how descriptors are waited for: epoll or uring", "epoll"}, read_io},
    {{"COSHIM_NATIVE",
      "threads that stay kernel threads: globs of start routine, module or thread name, separated by , or ;",
      "none"},
     read_native},
    {{"COSHIM_ONLY", "programs to act in: globs of program names, separated by , or ;", "all"}, read_only},
    {{"COSHIM_SKIP", "programs to stay out of: globs of program names, separated by , or ;", "none"},
     read_skip},
    {{"COSHIM_DUMP_SIGNAL",
      "signal that asks for a dump: name or number; not KILL, STOP, 32, 33, nor a fault's; the program's own "
      "handler "
      "wins",
      "SIGRTMAX-1"},
     read_dump_signal},
    {{"COSHIM_DUMP_PATH", "file that dumps go to; %p is the process id", "stderr"}, read_dump_path},
    {{"COSHIM_DUMP_FORMAT", "how dumps are written: text or json", "text"}, read_dump_format},
    {{"COSHIM_DUMP_FULL", "1: a block for every thread, however many are alike; 0 or 1", "0"},
     read_dump_full},
    {{"COSHIM_LOG", "what is reported: error, warn, info or debug", "warn"}, read_log_level},
    {{"COSHIM_LOG_PATH", "file that reports are appended to; not a symbolic link", "stderr"}, read_log_path},
    {{"COSHIM_STATS", "1: a summary at exit; 0 or 1", "0"}, read_stats},
    {{"COSHIM_STRICT", "1: a malformed variable ends the program with status 78 before main; 0 or 1", "0"},
     read_strict},
    {{"COSHIM_DISABLE", "1: stay out entirely; 0 or 1", "0"}, read_disable},
};
constexpr size_t kRowCount = sizeof(kRows) / sizeof(kRows[0]);

// The same rows without their functions, for config_variables.
struct Variables {
  ConfigVariable items[kRowCount];
};
constexpr Variables list_variables() {
  Variables all{};
  for (size_t i = 0; i < kRowCount; ++i) all.items[i] = kRows[i].variable;
  return all;
}
constexpr Variables kVariables = list_variables();

// ---- the environment

constexpr char kPrefix[] = "COSHIM_";

// The value if `entry` is "<name>=<value>", else null.
const char* value_if_named(const char* entry, const char* name) {
  size_t length = strlen(name);
  return strncmp(entry, name, length) == 0 && entry[length] == '=' ? entry + length + 1 : nullptr;
}

// As getenv(3): the first one counts.
const char* find_value(char* const* environment, const char* name) {
  for (; *environment != nullptr; ++environment) {
    if (const char* value = value_if_named(*environment, name)) return value;
  }
  return nullptr;
}

bool any_of_ours(char* const* environment) {
  for (; *environment != nullptr; ++environment) {
    if (strncmp(*environment, kPrefix, sizeof(kPrefix) - 1) == 0) return true;
  }
  return false;
}

// A text for a log line: short, and on one line whatever bytes it holds.
class Quoted {
 public:
  Quoted(const char* text, size_t length) {
    size_t shown = length < kMaximum ? length : kMaximum;
    for (size_t i = 0; i < shown; ++i) text_[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    memcpy(text_ + shown, length > shown ? "..." : "", length > shown ? 4 : 1);
  }
  explicit Quoted(const char* text) : Quoted(text, strlen(text)) {}
  const char* text() const { return text_; }

 private:
  static constexpr size_t kMaximum = 64;
  char text_[kMaximum + 4];
};

void report(const ConfigVariable& variable, const char* value, Outcome outcome) {
  if (outcome == Outcome::malformed) {
    COSHIM_LOG(error, "%s: malformed value \"%s\"; default: %s; meaning: %s", variable.name,
               Quoted(value).text(), variable.default_text, variable.meaning);
  } else if (outcome == Outcome::unsupported) {
    COSHIM_LOG(warn, "%s: \"%s\" is not supported yet; using the default: %s", variable.name,
               Quoted(value).text(), variable.default_text);
  }
}

// ---- unknown names

constexpr size_t kNearEnough = 2;

// The known name that is nearest, or null when none is near.
const char* nearest_name(const char* name, size_t length) {
  const char* nearest = nullptr;
  size_t least = kNearEnough + 1;
  for (const Row& row : kRows) {
    size_t distance = edit_distance(name, length, row.variable.name, strlen(row.variable.name));
    if (distance < least) {
      least = distance;
      nearest = row.variable.name;
    }
  }
  return nearest;
}

void report_if_unknown(const char* entry) {
  if (strncmp(entry, kPrefix, sizeof(kPrefix) - 1) != 0) return;
  const char* equals = strchr(entry, '=');
  if (equals == nullptr) return;  // no variable: getenv would not find it either
  for (const Row& row : kRows) {
    if (value_if_named(entry, row.variable.name) != nullptr) return;
  }
  auto length = static_cast<size_t>(equals - entry);
  if (const char* nearest = nearest_name(entry, length)) {
    COSHIM_LOG(warn, "%s: unknown variable; did you mean %s?", Quoted(entry, length).text(), nearest);
  } else {
    COSHIM_LOG(warn, "%s: unknown variable", Quoted(entry, length).text());
  }
}

// ---- the log's file

// Away from the low numbers, which the program gets as it would natively: as high as RLIMIT_NOFILE lets us,
// up to 1000.
int move_high(int fd) {
  for (int minimum = 1000; minimum > fd; minimum /= 2) {
    long moved = sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, minimum);
    if (moved >= 0) {
      sys::close(fd);
      return static_cast<int>(moved);
    }
  }
  return fd;
}

bool open_log(const char* path) {
  long fd = sys::call(SYS_openat, AT_FDCWD, path,
                      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
  if (fd < 0) {
    COSHIM_LOG(error, "COSHIM_LOG_PATH: can't open \"%s\" (errno %ld); using the default: stderr",
               Quoted(path).text(), -fd);
    return false;
  }
  if (g_opened_log >= 0) sys::close(g_opened_log);
  g_opened_log = g_log_fd = move_high(static_cast<int>(fd));
  return true;
}

}  // namespace

const ConfigVariable* config_variables(size_t* count) {
  *count = kRowCount;
  return kVariables.items;
}

bool config_value_is_good(const char* name, const char* text) {
  for (const Row& row : kRows) {
    if (strcmp(row.variable.name, name) == 0) return row.read(text) != Outcome::malformed;
  }
  return false;
}

bool matches_any(const char* patterns, const char* text) {
  if (patterns == nullptr || text == nullptr) return false;
  while (*patterns != '\0') {
    size_t length = strcspn(patterns, ",;");
    if (length > 0 && matches_glob(patterns, length, text)) return true;
    patterns += length;
    if (*patterns != '\0') ++patterns;
  }
  return false;
}

// Everything is read before anything is said: where lines go, whether they are wanted and whether this
// program is one to act in are themselves variables.
void read_config(char* const* environment, const char* program) {
  g_config = Config{};
  g_config.dump_signal = kDefaultDumpSignal;
  g_requested = Requested{};
  g_log_level = LogLevel::warn;
  if (environment == nullptr || !any_of_ours(environment)) return;
  if (program == nullptr) program = "";

  const char* values[kRowCount];
  Outcome outcomes[kRowCount];
  for (size_t i = 0; i < kRowCount; ++i) {
    values[i] = find_value(environment, kRows[i].variable.name);
    outcomes[i] = values[i] != nullptr ? kRows[i].read(values[i]) : Outcome::good;
  }
  g_config.disabled = g_requested.disable || matches_any(g_requested.skip, program) ||
                      (g_requested.only != nullptr && !matches_any(g_requested.only, program));
  // Staying out entirely: no line either, since every sh and sed of the server's inherits the environment.
  if (g_config.disabled) return;

  bool all_good = g_requested.log_path == nullptr || open_log(g_requested.log_path);
  for (size_t i = 0; i < kRowCount; ++i) {
    report(kRows[i].variable, values[i], outcomes[i]);
    all_good = all_good && outcomes[i] != Outcome::malformed;
  }
  for (char* const* entry = environment; *entry != nullptr; ++entry) report_if_unknown(*entry);
  if (g_config.strict && !all_good) {
    for (;;) sys::call(SYS_exit_group, EX_CONFIG);
  }
}

}  // namespace coshim
