// Reading DWARF data: little-endian numbers and LEB128, never beyond the end. After that, everything is zero.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace coshim {

class ByteReader {
 public:
  ByteReader(const unsigned char* data, const unsigned char* end) : at_(data), end_(end) {}
  bool done() const { return at_ >= end_; }
  const unsigned char* at() const { return at_; }
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  void skip(size_t count) { at_ = count > left() ? end_ : at_ + count; }

  template <typename T>
  T number() {
    T value = 0;
    if (left() < sizeof(T)) {
      at_ = end_;
      return 0;
    }
    memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  uint64_t unsigned_leb() {
    uint64_t value = 0;
    for (unsigned shift = 0; at_ < end_; shift += 7) {
      unsigned char byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 127) << shift;
      if ((byte & 128) == 0) break;
    }
    return value;
  }
  int64_t signed_leb() {
    uint64_t value = 0;
    unsigned shift = 0;
    unsigned char byte = 0;
    while (at_ < end_) {
      byte = *at_++;
      if (shift < 64) value |= static_cast<uint64_t>(byte & 127) << shift;
      shift += 7;
      if ((byte & 128) == 0) break;
    }
    if (shift < 64 && (byte & 64) != 0) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }
  const char* text() {
    const void* zero = memchr(at_, 0, left());
    if (zero == nullptr) {
      at_ = end_;
      return "";
    }
    const char* result = reinterpret_cast<const char*>(at_);
    at_ = static_cast<const unsigned char*>(zero) + 1;
    return result;
  }

 private:
  const unsigned char* at_;
  const unsigned char* end_;
};

}  // namespace coshim
