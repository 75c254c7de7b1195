// Buffered text to a descriptor, by raw system calls.
#pragma once

#include <errno.h>
#include <poll.h>
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

  // At most 1,000 bytes.
  void print(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    if (sizeof(buffer_) - length_ < 1024) flush();
    va_list arguments;
    va_start(arguments, format);
    length_ += format_text_list(buffer_ + length_, sizeof(buffer_) - length_, format, arguments);
    va_end(arguments);
  }
  // As a JSON string, quotes included; bytes that are not ASCII as ?.
  void print_json_text(const char* text) {
    print("\"");
    for (const char* p = text; *p != '\0'; ++p) {
      auto byte = static_cast<unsigned char>(*p);
      if (byte == '"' || byte == '\\') {
        print("\\%c", *p);
      } else if (byte < ' ' || byte == 127) {
        print("\\u%04x", byte);
      } else {
        print("%c", byte < 128 ? *p : '?');
      }
    }
    print("\"");
  }
  void flush() {
    size_t done = 0;
    while (done < length_ && !failed_) {
      long written = sys::write(fd_, buffer_ + done, length_ - done);
      if (written > 0) {
        done += static_cast<size_t>(written);
      } else if (written != -EINTR && !(written == -EAGAIN && wait_until_writable())) {
        failed_ = true;
      }
    }
    length_ = 0;
  }
  bool failed() const { return failed_; }

 private:
  // The program's stderr may be non-blocking, and its reader slow.
  bool wait_until_writable() const {
    pollfd entry{fd_, POLLOUT, 0};
    timespec patience{5, 0};
    return sys::call(SYS_ppoll, &entry, 1, &patience, nullptr, 8) > 0;
  }

  int fd_;
  size_t length_ = 0;
  bool failed_ = false;
  char buffer_[16384];
};

}  // namespace coshim
