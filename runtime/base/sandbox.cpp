#include "runtime/base/sandbox.h"

#include <fcntl.h>
#include <string.h>

#include <atomic>

#include "runtime/base/system_call.h"

namespace coshim {

namespace {
std::atomic<bool> g_noted{false};

// The first character of a line's value in /proc/self/status, proc(5); '\0' where it can't be read.
char status_character(const char* line_start) {
  char text[4096];
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return '\0';
  long length = sys::call(SYS_read, fd, text, sizeof(text) - 1);
  sys::close(static_cast<int>(fd));
  if (length <= 0) return '\0';
  text[length] = '\0';
  const char* line = strstr(text, line_start);
  return line == nullptr ? '\0' : line[strlen(line_start)];
}

}  // namespace

void note_seccomp() {
  g_noted.store(true);
}

bool noted_seccomp() {
  return g_noted.load(std::memory_order_relaxed);
}

bool under_seccomp() {
  return noted_seccomp() || status_character("\nSeccomp:\t") != '0';
}

bool under_debugger() {
  char tracer = status_character("\nTracerPid:\t");
  return tracer != '0' && tracer != '\0';
}

}  // namespace coshim
