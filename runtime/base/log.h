// One line a problem, to COSHIM_LOG_PATH or stderr (contract rule 4: silent unless something is wrong). No
// allocation, no stdio: usable before constructors have run and in signal handlers. errno is kept.
#pragma once

#include <stdarg.h>
#include <stddef.h>

namespace coshim {

enum class LogLevel : int { error, warn, info, debug };

extern LogLevel g_log_level;
extern int g_log_fd;

// "coshim: warn: <text>\n" in a single write. Formats: %s %d %u %ld %lu %x %lx %p %c %%.
void log_line(LogLevel level, const char* format, ...) __attribute__((format(printf, 2, 3)));
// The same formats into a buffer; always terminated; returns the length written (without the terminator).
size_t format_text(char* buffer, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char* buffer, size_t size, const char* format, va_list arguments);

#define COSHIM_LOG(level, ...)                                    \
  do {                                                            \
    if (::coshim::LogLevel::level <= ::coshim::g_log_level) {     \
      ::coshim::log_line(::coshim::LogLevel::level, __VA_ARGS__); \
    }                                                             \
  } while (0)

// An invariant that must hold whatever the program does. Broken: one line, then abort. `COSHIM_CHECK_DEBUG`
// only in debug builds (CMake preset debug).
[[noreturn]] void check_failed(const char* what, const char* file, int line);
#define COSHIM_CHECK(condition) \
  (__builtin_expect(!!(condition), 1) ? (void)0 : ::coshim::check_failed(#condition, __FILE__, __LINE__))
#ifdef COSHIM_DEBUG
#define COSHIM_CHECK_DEBUG(condition) COSHIM_CHECK(condition)
#else
#define COSHIM_CHECK_DEBUG(condition) ((void)0)
#endif

}  // namespace coshim
