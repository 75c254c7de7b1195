#include "runtime/base/permanent.h"

#include <sys/mman.h>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"

namespace coshim {

namespace {
constexpr size_t kChunk = size_t{256} * 1024;
SpinLock g_lock;  // guards both
char* g_fresh;
size_t g_left;
}  // namespace

void* permanent_memory(size_t size) {
  size = (size + 15) & ~size_t{15};
  SpinGuard guard(g_lock);
  if (g_left < size) {
    long memory =
        sys::call(SYS_mmap, nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096) return nullptr;
    g_fresh = reinterpret_cast<char*>(memory);
    g_left = kChunk;
  }
  void* piece = g_fresh;
  g_fresh += size;
  g_left -= size;
  return piece;
}

void permanent_memory_reset_after_fork() {
  g_lock.reset();
}

}  // namespace coshim
