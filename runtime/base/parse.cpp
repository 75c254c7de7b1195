#include "runtime/base/parse.h"

#include <signal.h>
#include <string.h>

namespace coshim {

namespace {

// glibc's SIGRTMIN is a function call; the values are ABI on x86-64 and aarch64 (signal(7), nptl(7)).
constexpr int kRealTimeMinimum = 34;
constexpr int kRealTimeMaximum = 64;

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

// Whether the rest of the text is `word`, which is in upper case.
bool rest_is(const char* text, const char* word) {
  while (*word != '\0' && upper(*text) == *word) {
    ++text;
    ++word;
  }
  return *text == '\0' && *word == '\0';
}

// Steps over `prefix`, which is in upper case, if the text starts with it.
bool skip_prefix(const char** text, const char* prefix) {
  const char* rest = *text;
  for (; *prefix != '\0'; ++rest, ++prefix) {
    if (upper(*rest) != *prefix) return false;
  }
  *text = rest;
  return true;
}

// Reads at least one digit and steps over them all.
bool take_digits(const char** text, uint64_t* value) {
  const char* p = *text;
  uint64_t result = 0;
  if (*p < '0' || *p > '9') return false;
  for (; *p >= '0' && *p <= '9'; ++p) {
    if (__builtin_mul_overflow(result, uint64_t{10}, &result) ||
        __builtin_add_overflow(result, static_cast<uint64_t>(*p - '0'), &result)) {
      return false;
    }
  }
  *text = p;
  *value = result;
  return true;
}

bool parse_whole_number(const char* text, uint64_t* value) {
  uint64_t number = 0;
  if (!take_digits(&text, &number) || *text != '\0') return false;
  *value = number;
  return true;
}

struct SignalName {
  const char* name;
  int number;
};
constexpr SignalName kSignalNames[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},     {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT}, {"IOT", SIGIOT},       {"BUS", SIGBUS},   {"FPE", SIGFPE},     {"KILL", SIGKILL},
    {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},     {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},   {"ALRM", SIGALRM},
    {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD}, {"CLD", SIGCLD},     {"CONT", SIGCONT},
    {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},   {"URG", SIGURG},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},     {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"VTALRM", SIGVTALRM},
    {"IO", SIGIO},     {"POLL", SIGPOLL},     {"PWR", SIGPWR},   {"SYS", SIGSYS},
};

// What follows RTMIN or RTMAX: nothing, or `sign` and a distance that stays within the real-time signals.
bool parse_real_time_distance(const char* text, char sign, int* distance) {
  *distance = 0;
  if (*text == '\0') return true;
  uint64_t number = 0;
  if (*text != sign || !parse_whole_number(text + 1, &number)) return false;
  if (number > kRealTimeMaximum - kRealTimeMinimum) return false;
  *distance = static_cast<int>(number);
  return true;
}

}  // namespace

bool parse_integer(const char* text, uint64_t minimum, uint64_t maximum, uint64_t* value) {
  uint64_t number = 0;
  if (!parse_whole_number(text, &number) || number < minimum || number > maximum) return false;
  *value = number;
  return true;
}

bool parse_boolean(const char* text, bool* value) {
  if ((text[0] != '0' && text[0] != '1') || text[1] != '\0') return false;
  *value = text[0] == '1';
  return true;
}

bool parse_size(const char* text, size_t* value) {
  uint64_t number = 0;
  if (!take_digits(&text, &number)) return false;
  uint64_t unit = 1;
  switch (upper(*text)) {
    case '\0':
      break;
    case 'K':
      unit = uint64_t{1} << 10;
      break;
    case 'M':
      unit = uint64_t{1} << 20;
      break;
    case 'G':
      unit = uint64_t{1} << 30;
      break;
    default:
      return false;
  }
  if (unit != 1 && text[1] != '\0') return false;
  if (__builtin_mul_overflow(number, unit, &number)) return false;
  *value = number;
  return true;
}

bool parse_duration(const char* text, Nanoseconds plain_unit, Nanoseconds* value) {
  uint64_t number = 0;
  if (!take_digits(&text, &number)) return false;
  Nanoseconds unit;
  if (*text == '\0') {
    unit = plain_unit;
  } else if (strcmp(text, "ns") == 0) {
    unit = 1;
  } else if (strcmp(text, "us") == 0) {
    unit = 1000;
  } else if (strcmp(text, "ms") == 0) {
    unit = 1000000;
  } else if (strcmp(text, "s") == 0) {
    unit = 1000000000;
  } else {
    return false;
  }
  Nanoseconds duration;
  if (__builtin_mul_overflow(number, unit, &duration) || duration == kForever) return false;
  *value = duration;
  return true;
}

bool parse_signal(const char* text, int* value) {
  uint64_t number = 0;
  if (parse_integer(text, 1, kRealTimeMaximum, &number)) {
    *value = static_cast<int>(number);
    return true;
  }
  skip_prefix(&text, "SIG");
  int distance = 0;
  if (skip_prefix(&text, "RTMIN")) {
    if (!parse_real_time_distance(text, '+', &distance)) return false;
    *value = kRealTimeMinimum + distance;
    return true;
  }
  if (skip_prefix(&text, "RTMAX")) {
    if (!parse_real_time_distance(text, '-', &distance)) return false;
    *value = kRealTimeMaximum - distance;
    return true;
  }
  for (const SignalName& known : kSignalNames) {
    if (rest_is(text, known.name)) {
      *value = known.number;
      return true;
    }
  }
  return false;
}

bool matches_glob(const char* pattern, size_t pattern_length, const char* text) {
  const char* end = pattern + pattern_length;
  const char* after_star = nullptr;  // where to go on when the last * has to swallow one character more
  const char* swallowed = nullptr;
  while (*text != '\0' || pattern != end) {
    if (pattern != end && *pattern == '*') {
      after_star = ++pattern;
      swallowed = text;
    } else if (*text != '\0' && pattern != end && (*pattern == '?' || *pattern == *text)) {
      ++pattern;
      ++text;
    } else if (after_star != nullptr && *swallowed != '\0') {
      pattern = after_star;
      text = ++swallowed;
    } else {
      return false;
    }
  }
  return true;
}

size_t edit_distance(const char* a, size_t a_length, const char* b, size_t b_length) {
  if (a_length > kLongestCompared || b_length > kLongestCompared) return SIZE_MAX;
  uint8_t rows[3][kLongestCompared + 1];  // the distances for the last three prefixes of a
  for (size_t j = 0; j <= b_length; ++j) rows[0][j] = static_cast<uint8_t>(j);
  for (size_t i = 1; i <= a_length; ++i) {
    uint8_t* row = rows[i % 3];
    const uint8_t* above = rows[(i - 1) % 3];
    row[0] = static_cast<uint8_t>(i);
    for (size_t j = 1; j <= b_length; ++j) {
      int best = above[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0);
      if (above[j] + 1 < best) best = above[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        int exchanged = rows[(i - 2) % 3][j - 2] + 1;
        if (exchanged < best) best = exchanged;
      }
      row[j] = static_cast<uint8_t>(best);
    }
  }
  return rows[a_length % 3][b_length];
}

}  // namespace coshim
