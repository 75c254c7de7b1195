// Shared mappings: memory that was this process's alone may be others' too from now on
// (runtime/base/private_memory.h). Called by allocators before anything else: no real functions, no books.
#include <sys/mman.h>
#include <sys/shm.h>

#include "preload/hook.h"
#include "runtime/base/private_memory.h"

namespace coshim {

HOOK(void*, mmap, (void* address, size_t length, int protection, int flags, int fd, off_t offset)) {
  if ((flags & MAP_TYPE) != MAP_PRIVATE) forget_private_memory();
  return reinterpret_cast<void*>(
      return_errno(sys::call(SYS_mmap, address, length, protection, flags, fd, offset)));
}

HOOK(void*, mremap, (void* address, size_t length, size_t new_length, int flags, void* new_address)) {
  forget_private_memory();
  return reinterpret_cast<void*>(
      return_errno(sys::call(SYS_mremap, address, length, new_length, flags, new_address)));
}

HOOK(void*, shmat, (int id, const void* address, int flags)) {
  forget_private_memory();
  return reinterpret_cast<void*>(return_errno(sys::call(SYS_shmat, id, address, flags)));
}

}  // namespace coshim
