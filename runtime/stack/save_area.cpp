#include "runtime/stack/save_area.h"

#include <sys/mman.h>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"

namespace coshim {

namespace {

// Classes in steps of 64 bytes up to 4 KiB, of 1 KiB up to 64 KiB; beyond, whole pages of their own.
constexpr size_t kSmallStep = 64, kSmallEnd = 4096;
constexpr size_t kLargeStep = 1024, kLargeEnd = 65536;
constexpr size_t kSmallClasses = kSmallEnd / kSmallStep;
constexpr size_t kClasses = kSmallClasses + (kLargeEnd - kSmallEnd) / kLargeStep;
constexpr size_t kArena = size_t{1} << 20;
constexpr size_t kPage = 4096;

struct FreeArea {
  FreeArea* next;
};

SpinLock g_lock;
FreeArea* g_free[kClasses];
char* g_arena;
size_t g_arena_left;
size_t g_used, g_reserved;

size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

size_t class_of(size_t size, size_t* class_size) {
  if (size == 0) size = 1;
  if (size <= kSmallEnd) {
    *class_size = round_up(size, kSmallStep);
    return *class_size / kSmallStep - 1;
  }
  *class_size = round_up(size, kLargeStep);
  return kSmallClasses + (*class_size - kSmallEnd) / kLargeStep - 1;
}

void* map_pages(size_t size) {
  long result = sys::call(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<void*>(result);
}

// Under the lock. What is left of the old arena is too small for this class: it becomes free areas of others.
void give_up_arena() {
  while (g_arena_left >= kSmallStep) {
    size_t size = g_arena_left < kSmallEnd ? g_arena_left / kSmallStep * kSmallStep : kSmallEnd;
    size_t class_size;
    size_t index = class_of(size, &class_size);
    auto* area = reinterpret_cast<FreeArea*>(g_arena);
    area->next = g_free[index];
    g_free[index] = area;
    g_arena += class_size;
    g_arena_left -= class_size;
  }
}

}  // namespace

void* acquire_save_area(size_t size) {
  if (size > kLargeEnd) {
    size = round_up(size, kPage);
    void* pages = map_pages(size);
    SpinGuard guard(g_lock);
    if (pages != nullptr) g_used += size, g_reserved += size;
    return pages;
  }
  size_t class_size;
  size_t index = class_of(size, &class_size);
  SpinGuard guard(g_lock);
  FreeArea* area = g_free[index];
  if (area != nullptr) {
    g_free[index] = area->next;
    g_used += class_size;
    return area;
  }
  if (g_arena_left < class_size) {
    auto* arena = static_cast<char*>(map_pages(kArena));
    if (arena == nullptr) return nullptr;
    sys::call(SYS_madvise, arena, kArena, MADV_NOHUGEPAGE);
    give_up_arena();
    g_arena = arena;
    g_arena_left = kArena;
    g_reserved += kArena;
  }
  void* fresh = g_arena;
  g_arena += class_size;
  g_arena_left -= class_size;
  g_used += class_size;
  return fresh;
}

void release_save_area(void* pointer, size_t size) {
  if (size > kLargeEnd) {
    size = round_up(size, kPage);
    sys::call(SYS_munmap, pointer, size);
    SpinGuard guard(g_lock);
    g_used -= size;
    g_reserved -= size;
    return;
  }
  size_t class_size;
  size_t index = class_of(size, &class_size);
  auto* area = static_cast<FreeArea*>(pointer);
  SpinGuard guard(g_lock);
  area->next = g_free[index];
  g_free[index] = area;
  g_used -= class_size;
}

SaveAreaStatistics save_area_statistics() {
  SpinGuard guard(g_lock);
  return {g_used, g_reserved};
}

void lock_save_areas_for_fork() {
  g_lock.lock();
}

void unlock_save_areas_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim
