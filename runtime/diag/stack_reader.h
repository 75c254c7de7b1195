// Reads the words of a stack that is not ours, wherever its bytes are: in their place (by
// process_vm_readv(2), which answers EFAULT where a load would fault, and brings no given-back page back), or
// saved elsewhere (stack modes shared and elastic). What is read may change meanwhile: who walks a stack
// looks afterwards whether it did.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace coshim {

struct Coroutine;

// Memory of this process, whatever is there. False: not all of it can be read.
bool read_memory(const void* address, void* buffer, size_t size);

class StackReader {
 public:
  // `coroutine`: whose stack is read, if it is parked; null: only what is in its place.
  explicit StackReader(const Coroutine* coroutine) : coroutine_(coroutine) {}
  bool word(uintptr_t address, uint64_t* value);

 private:
  bool saved_word(uintptr_t address, uint64_t* value) const;
  void fill_window(uintptr_t address);

  static constexpr size_t kWindow = 1024;
  const Coroutine* coroutine_;
  uintptr_t start_ = 0, end_ = 0;  // of what the window holds
  unsigned char window_[kWindow];
};

}  // namespace coshim
