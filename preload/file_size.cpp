// What makes a file larger can go beyond RLIMIT_FSIZE: EFBIG and SIGXFSZ, which is the calling thread's
// (setrlimit(2)). None of these waits for anybody.
#include <fcntl.h>
#include <unistd.h>

#include "preload/hook.h"

namespace coshim {

HOOK(ssize_t, pwrite, (int fd, const void* buffer, size_t length, off_t offset)) {
  return after_write(real::pwrite(fd, buffer, length, offset));
}

HOOK(ssize_t, pwritev, (int fd, const iovec* vector, int count, off_t offset)) {
  return after_write(real::pwritev(fd, vector, count, offset));
}

HOOK(ssize_t, copy_file_range,
     (int in, off64_t* in_offset, int out, off64_t* out_offset, size_t length, unsigned flags)) {
  return after_write(real::copy_file_range(in, in_offset, out, out_offset, length, flags));
}

HOOK(int, truncate, (const char* path, off_t length)) {
  return after_write(real::truncate(path, length));
}

HOOK(int, ftruncate, (int fd, off_t length)) {
  return after_write(real::ftruncate(fd, length));
}

HOOK(int, fallocate, (int fd, int mode, off_t offset, off_t length)) {
  return after_write(real::fallocate(fd, mode, offset, length));
}

HOOK(int, posix_fallocate, (int fd, off_t offset, off_t length)) {
  int error = real::posix_fallocate(fd, offset, length);
  if (error == EFBIG) keep_write_signal(error);
  return error;
}

}  // namespace coshim
