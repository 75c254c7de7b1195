// Buffered text to a descriptor, by raw system calls.
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "runtime/base/log.h"
#include "runtime/base/system_call.h"

namespace coshim {

class Output {
 public:
  explicit Output(int fd) : fd_(fd) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void print(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    if (sizeof(buffer_) - length_ < 1024) flush();
    va_list arguments;
    va_start(arguments, format);
    length_ += format_text_list(buffer_ + length_, sizeof(buffer_) - length_, format, arguments);
    va_end(arguments);
  }
  void flush() {
    size_t done = 0;
    while (done < length_) {
      long written = sys::write(fd_, buffer_ + done, length_ - done);
      if (written <= 0) break;
      done += static_cast<size_t>(written);
    }
    length_ = 0;
  }

 private:
  int fd_;
  size_t length_ = 0;
  char buffer_[16384];
};

}  // namespace coshim
