#include "runtime/stack/depth.h"

#include <atomic>

#include "runtime/base/system_call.h"
#include "runtime/stack/slot.h"

namespace coshim {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kWindow = 64;

std::atomic<size_t> g_deepest{0};

}  // namespace

size_t touched_depth(const StackSlot* slot, const char* high) {
  unsigned char pages[kWindow] = {};
  const char* lowest = high;
  for (const char* at = high; at > slot->stack_low;) {
    size_t count = static_cast<size_t>(at - slot->stack_low) / kPage;
    if (count > kWindow) count = kWindow;
    at -= count * kPage;
    if (count == 0 || sys::call(SYS_mincore, at, count * kPage, pages) != 0) break;
    size_t first = 0;
    while (first < count && (pages[first] & 1) == 0) ++first;
    if (first == count) break;
    lowest = at + first * kPage;
  }
  return static_cast<size_t>(slot->base + slot->total_size - lowest);
}

size_t touched_depth(const StackSlot* slot) {
  return touched_depth(slot,
                       reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(slot->stack_top) & ~(kPage - 1)));
}

void note_depth(size_t bytes) {
  size_t deepest = g_deepest.load(std::memory_order_relaxed);
  while (bytes > deepest && !g_deepest.compare_exchange_weak(deepest, bytes, std::memory_order_relaxed)) {
  }
}

size_t deepest_stack() {
  return g_deepest.load(std::memory_order_relaxed);
}

}  // namespace coshim
