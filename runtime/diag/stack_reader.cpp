#include "runtime/diag/stack_reader.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "runtime/base/system_call.h"
#include "runtime/stack/compact.h"
#include "runtime/stack/shared_stack.h"
#include "runtime/thread/thread.h"

namespace coshim {

namespace {

// How many bytes from `address` on could be read.
size_t read_some(uintptr_t address, void* buffer, size_t size) {
  iovec local{buffer, size}, remote{reinterpret_cast<void*>(address), size};
  long count = sys::call(SYS_process_vm_readv, sys::getpid(), &local, 1, &remote, 1, 0);
  if (count >= 0) return static_cast<size_t>(count);
  // Refused, by seccomp say: the same by the file.
  long fd = sys::call(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return 0;
  count = sys::call(SYS_pread64, fd, buffer, size, address);
  sys::close(static_cast<int>(fd));
  return count > 0 ? static_cast<size_t>(count) : 0;
}

}  // namespace

bool read_memory(const void* address, void* buffer, size_t size) {
  return read_some(reinterpret_cast<uintptr_t>(address), buffer, size) == size;
}

bool StackReader::saved_word(uintptr_t address, uint64_t* value) const {
  if (coroutine_ == nullptr || coroutine_->residency.load(std::memory_order_acquire) != Residency::saved)
    return false;
  const CompactStack* saved = coroutine_->saved;
  return saved != nullptr && compact_word_at(saved, address, value);
}

// From the copy, where the address belongs to a shared stack that somebody else is on.
void StackReader::fill_window(uintptr_t address) {
  start_ = address;
  if (coroutine_ != nullptr && coroutine_->shared_stack != nullptr) {
    const StackBytes saved = shared_stack_bytes(coroutine_);
    if (address >= saved.address && address - saved.address < saved.size) {
      size_t offset = address - saved.address, left = saved.size - offset;
      auto source = reinterpret_cast<uintptr_t>(saved.bytes) + offset;
      end_ = address + read_some(source, window_, left < sizeof(window_) ? left : sizeof(window_));
      return;
    }
  }
  end_ = address + read_some(address, window_, sizeof(window_));
}

bool StackReader::word(uintptr_t address, uint64_t* value) {
  if (saved_word(address, value)) return true;
  if (address < start_ || address + sizeof(*value) > end_ || address + sizeof(*value) < address) {
    fill_window(address);
    if (end_ - start_ < sizeof(*value)) return false;
  }
  memcpy(value, window_ + (address - start_), sizeof(*value));
  return true;
}

}  // namespace coshim
