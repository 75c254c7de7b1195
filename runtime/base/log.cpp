#include "runtime/base/log.h"

#include <stdint.h>

#include "runtime/base/system_call.h"

namespace coshim {

LogLevel g_log_level = LogLevel::warn;
int g_log_fd = 2;

namespace {

// Appends to a fixed buffer and silently stops at its end.
class Output {
 public:
  Output(char* buffer, size_t size) : buffer_(buffer), size_(size) {}
  void put(char c) {
    if (length_ + 1 < size_) buffer_[length_++] = c;
  }
  void put(const char* text) {
    if (text == nullptr) text = "(null)";
    while (*text != '\0') put(*text++);
  }
  void put_number(uint64_t value, unsigned base, bool negative, int width, char pad) {
    char digits[24];
    int count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    if (negative) --width;
    if (negative && pad == '0') put('-');
    for (int i = count; i < width; ++i) put(pad);
    if (negative && pad != '0') put('-');
    while (count > 0) put(digits[--count]);
  }
  size_t finish() {
    if (size_ > 0) buffer_[length_] = '\0';
    return length_;
  }

 private:
  char* buffer_;
  size_t size_;
  size_t length_ = 0;
};

void put_signed(Output& output, int64_t value, int width, char pad) {
  uint64_t magnitude = value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
  output.put_number(magnitude, 10, value < 0, width, pad);
}

}  // namespace

size_t format_text_list(char* buffer, size_t size, const char* format, va_list arguments) {
  Output output(buffer, size);
  for (const char* p = format; *p != '\0'; ++p) {
    if (*p != '%') {
      output.put(*p);
      continue;
    }
    ++p;
    char pad = ' ';
    if (*p == '0') pad = *p++;
    int width = 0;
    while (*p >= '0' && *p <= '9') width = width * 10 + (*p++ - '0');
    bool is_long = false;
    while (*p == 'l' || *p == 'z') {
      is_long = true;
      ++p;
    }
    switch (*p) {
      case 's':
        output.put(va_arg(arguments, const char*));
        break;
      case 'c':
        output.put(static_cast<char>(va_arg(arguments, int)));
        break;
      case 'd':
        put_signed(output, is_long ? va_arg(arguments, long) : va_arg(arguments, int), width, pad);
        break;
      case 'u':
      case 'x': {
        uint64_t value = is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);
        output.put_number(value, *p == 'x' ? 16 : 10, false, width, pad);
        break;
      }
      case 'p':
        output.put("0x");
        output.put_number(reinterpret_cast<uintptr_t>(va_arg(arguments, void*)), 16, false, 0, ' ');
        break;
      case '%':
        output.put('%');
        break;
      default:
        return output.finish();
    }
  }
  return output.finish();
}

size_t format_text(char* buffer, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  size_t length = format_text_list(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}

void log_line(LogLevel level, const char* format, ...) {
  static const char* const kNames[] = {"error", "warn", "info", "debug"};
  char line[512];
  size_t length = format_text(line, sizeof(line) - 1, "coshim: %s: ", kNames[static_cast<int>(level)]);
  va_list arguments;
  va_start(arguments, format);
  length += format_text_list(line + length, sizeof(line) - 1 - length, format, arguments);
  va_end(arguments);
  line[length++] = '\n';
  sys::write(g_log_fd, line, length);
}

void check_failed(const char* what, const char* file, int line) {
  log_line(LogLevel::error, "internal check failed: %s at %s:%d", what, file, line);
  // abort() without libc: SIGABRT at its default to this very kernel thread.
  struct {
    void* handler;
    unsigned long flags;
    void* restorer;
    uint64_t mask;
  } action{};
  sys::call(SYS_rt_sigaction, SIGABRT, &action, nullptr, sizeof(uint64_t));
  sys::KernelSignalSet abort_only = sys::signal_bit(SIGABRT);
  sys::set_signal_mask(SIG_UNBLOCK, &abort_only, nullptr);
  sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), SIGABRT);
  for (;;) sys::call(SYS_exit_group, 127);
}

}  // namespace coshim
