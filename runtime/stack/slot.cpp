#include "runtime/stack/slot.h"

#include <errno.h>
#include <sys/mman.h>

#include <atomic>

#include "runtime/base/log.h"
#include "runtime/base/memory_limits.h"
#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"
#include "runtime/stack/chunk_index.h"
#include "runtime/stack/cold_block.h"
#include "runtime/stack/depth.h"
#include "runtime/stack/pager.h"
#include "runtime/thread/tcb.h"

namespace coshim {

std::atomic<uintptr_t> g_slots_low{~uintptr_t{0}}, g_slots_high{0};

namespace {

constexpr size_t kPage = 4096;
constexpr int kMadviseGuardInstall = 102;   // Linux 6.13, madvise(2)
constexpr size_t kSpare = 16 * 1024;        // our frames, a signal frame with AVX-512 state, the colour
constexpr size_t kSpareBelow = 256 * 1024;  // stacks smaller than this get the spare
constexpr int kClasses = 64;
constexpr size_t kFirstChunkSlots = 16;
constexpr size_t kMaximumChunkSlots = 1024;
constexpr size_t kFewSlots = 4;
// TCBs at one offset of equally sized slots would share cache sets: shifted by a cache-line multiple, by slot
// index.
constexpr size_t kColours = 4;
constexpr size_t kColourStep = 192;
constexpr size_t kTrimBatch = 32;

// Those that are free are taken again last one first. What lies on `warm` when the saver passes becomes
// `idle`; what is still there at its next pass is trimmed and becomes `cold`.
struct SlotClass {
  size_t total_size = 0;
  size_t guard_size = 0;
  StackSlot *warm = nullptr, *idle = nullptr, *cold = nullptr;
  StackSlot* fresh = nullptr;  // the current chunk's untouched part
  size_t fresh_count = 0;
  size_t chunk_slots = kFirstChunkSlots;
};

SpinLock g_lock;
SlotClass g_classes[kClasses];
ChunkIndex g_chunks;
size_t g_slot_count, g_slots_in_use, g_reserved;
size_t g_in_trimming;  // free, but not to be had for a moment
bool g_guard_install_missing;
bool g_told_limit;

size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

char* map_memory(size_t size, int protection) {
  long result =
      sys::call(SYS_mmap, nullptr, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return result < 0 && result > -4096 ? nullptr : reinterpret_cast<char*>(result);
}

// PROT_NONE first: under mlockall(MCL_FUTURE) a writable mapping would be populated and locked at once.
char* map_chunk(size_t size) {
  char* base = map_memory(size, PROT_NONE);
  if (base == nullptr) return nullptr;
  sys::call(SYS_munlock, base, size);
  sys::call(SYS_madvise, base, size, MADV_NOHUGEPAGE);
  if (sys::call(SYS_mprotect, base, size, g_stack_protection.load()) != 0) {
    sys::call(SYS_munmap, base, size);
    return nullptr;
  }
  return base;
}

void tell_limit_once(const char* text) {
  if (g_told_limit) return;
  g_told_limit = true;
  COSHIM_LOG(warn, "pthread_create: EAGAIN: %s", text);
}

bool install_guard(StackSlot* slot) {
  if (slot->guarded || slot->guard_size == 0) return true;
  if (!g_guard_install_missing) {
    long result = sys::call(SYS_madvise, slot->base, slot->guard_size, kMadviseGuardInstall);
    if (result == 0) return slot->guarded = true;
    if (result == -ENOMEM) {
      tell_limit_once("no memory for a stack guard");
      return false;
    }
    g_guard_install_missing = true;  // older kernel
  }
  if (sys::call(SYS_mprotect, slot->base, slot->guard_size, PROT_NONE) != 0) {
    tell_limit_once(
        "stack guards have used up vm.max_map_count; raise it, or use a kernel with MADV_GUARD_INSTALL");
    return false;
  }
  return slot->guarded = true;
}

void register_slots(const Chunk& chunk) {
  bool registered = pager_active() && pager_register(chunk.base, chunk.slot_size * chunk.count) == 0;
  for (size_t i = 0; i < chunk.count; ++i) chunk.slots[i].registered = registered;
}

// Where address space or memory that is writable counts against a limit, not many more than are needed: what
// natively would go well must do so here.
size_t chunk_slots(SlotClass& slot_class) {
  size_t count = slot_class.chunk_slots;
  if (slot_class.chunk_slots < kMaximumChunkSlots) slot_class.chunk_slots *= 2;
  if (!mapped_memory_is_limited()) return count;
  size_t some = g_slot_count / 16;
  return some < kFewSlots ? kFewSlots : some < count ? some : count;
}

// Null, or what is missing.
const char* add_chunk(SlotClass& slot_class) {
  size_t count = chunk_slots(slot_class);
  char* base = nullptr;
  for (; count > 0; count /= 4) {
    base = map_chunk(count * slot_class.total_size);
    if (base != nullptr) break;
  }
  static constexpr char kNoMemory[] = "no address space or commit charge for another stack";
  if (base == nullptr) return kNoMemory;
  auto* slots = reinterpret_cast<StackSlot*>(
      map_memory(round_up(count * sizeof(StackSlot), kPage), PROT_READ | PROT_WRITE));
  if (slots == nullptr) {
    sys::call(SYS_munmap, base, count * slot_class.total_size);
    return kNoMemory;
  }
  Chunk chunk{base, slot_class.total_size, count, slots,
              slots_of_a_block(slot_class.total_size, g_slot_count)};
  auto low = reinterpret_cast<uintptr_t>(base), high = low + count * slot_class.total_size;
  if (low < g_slots_low.load()) g_slots_low.store(low);
  if (high > g_slots_high.load()) g_slots_high.store(high);
  for (size_t i = 0; i < count; ++i) slots[i].base = base + i * slot_class.total_size;
  register_slots(chunk);
  if (!g_chunks.add(chunk)) {
    sys::call(SYS_munmap, slots, round_up(count * sizeof(StackSlot), kPage));
    sys::call(SYS_munmap, base, count * slot_class.total_size);
    return "too many stacks";
  }
  slot_class.fresh = slots;
  slot_class.fresh_count = count;
  g_slot_count += count;
  g_reserved += count * slot_class.total_size;
  return nullptr;
}

SlotClass* find_class(size_t total_size, size_t guard_size) {
  for (SlotClass& slot_class : g_classes) {
    if (slot_class.total_size == total_size && slot_class.guard_size == guard_size) return &slot_class;
    if (slot_class.total_size == 0) {
      slot_class.total_size = total_size;
      slot_class.guard_size = guard_size;
      return &slot_class;
    }
  }
  // All classes taken by other sizes: the smallest one that is large enough serves.
  SlotClass* best = nullptr;
  for (SlotClass& slot_class : g_classes) {
    bool fits = slot_class.total_size >= total_size && slot_class.guard_size >= guard_size;
    if (fits && (best == nullptr || slot_class.total_size < best->total_size)) best = &slot_class;
  }
  return best;
}

void lay_out(StackSlot* slot, const SlotClass& slot_class, size_t colour) {
  slot->total_size = slot_class.total_size;
  slot->guard_size = slot_class.guard_size;
  auto end = reinterpret_cast<uintptr_t>(slot->base) + slot->total_size - colour * kColourStep;
  uintptr_t tcb = (end - g_tcb_layout.pthread_size) & ~(g_tcb_layout.alignment - 1);
  slot->tcb = reinterpret_cast<void*>(tcb);
  slot->stack_top = reinterpret_cast<char*>((tcb - g_tcb_layout.below) & ~uintptr_t{15});
  slot->stack_low = slot->base + slot->guard_size;
}

StackSlot* pop(StackSlot** list) {
  StackSlot* slot = *list;
  if (slot != nullptr) *list = slot->next;
  return slot;
}

void push(StackSlot** list, StackSlot* slot) {
  slot->next = *list;
  *list = slot;
}

StackSlot* take_free(SlotClass& slot_class) {
  StackSlot* slot = pop(&slot_class.warm);
  if (slot == nullptr) slot = pop(&slot_class.idle);
  if (slot == nullptr) slot = pop(&slot_class.cold);
  if (slot != nullptr) slot->kept = false;
  return slot;
}

StackSlot* take_fresh(SlotClass& slot_class, bool* wait) {
  if (slot_class.fresh_count == 0) {
    if (const char* missing = add_chunk(slot_class)) {
      *wait = g_in_trimming != 0;
      if (!*wait) tell_limit_once(missing);
      return nullptr;
    }
  }
  StackSlot* slot = slot_class.fresh;
  lay_out(slot, slot_class, slot_class.fresh_count % kColours);
  if (!install_guard(slot)) return nullptr;
  ++slot_class.fresh;
  --slot_class.fresh_count;
  return slot;
}

// Those of one class that the next trimming takes.
size_t take_idle(SlotClass& slot_class, StackSlot** slots, size_t capacity) {
  SpinGuard guard(g_lock);
  size_t count = 0;
  while (count < capacity && (slots[count] = pop(&slot_class.idle)) != nullptr) ++count;
  g_in_trimming += count;
  return count;
}

// Neither the guard nor the TLS and the TCB, which has a dynamic TLS to release first (tcb_used).
void trim(StackSlot* const* slots, size_t count) {
  Stretch stretches[kTrimBatch];
  for (size_t i = 0; i < count; ++i) {
    auto top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(slots[i]->stack_top) & ~(kPage - 1));
    stretches[i] = {slots[i]->stack_low, static_cast<size_t>(top - slots[i]->stack_low)};
    note_depth(touched_depth(slots[i], top));
  }
  pager_drop(stretches, count);
}

}  // namespace

char* map_stack_memory(size_t size) {
  return map_chunk(size);
}

StackSlot* acquire_slot(size_t stack_size, size_t guard_size) {
  guard_size = round_up(guard_size, kPage);
  if (stack_size > (size_t{1} << 46)) return nullptr;
  // As natively, static TLS and TCB come out of the stack's size.
  if (stack_size < kSpareBelow) stack_size += kSpare;
  size_t total = guard_size + round_up(stack_size, kPage);

  for (;; sys::yield()) {
    SpinGuard guard(g_lock);
    SlotClass* slot_class = find_class(total, guard_size);
    if (slot_class == nullptr) {
      tell_limit_once("too many different stack sizes");
      return nullptr;
    }
    StackSlot* slot = take_free(*slot_class);
    bool wait = false;
    if (slot == nullptr) slot = take_fresh(*slot_class, &wait);
    if (slot != nullptr) ++g_slots_in_use;
    if (!wait) return slot;
  }
}

void release_slot(StackSlot* slot) {
  SpinGuard guard(g_lock);
  slot->owner = nullptr;
  --g_slots_in_use;
  push(&find_class(slot->total_size, slot->guard_size)->warm, slot);
}

size_t trim_free_slots() {
  StackSlot* slots[kTrimBatch];
  for (SlotClass& slot_class : g_classes) {
    size_t count = take_idle(slot_class, slots, kTrimBatch);
    if (count == 0) continue;
    trim(slots, count);
    SpinGuard guard(g_lock);
    for (size_t i = 0; i < count; ++i) push(&slot_class.cold, slots[i]);
    g_in_trimming -= count;
    return count;
  }
  return 0;
}

bool age_free_slots() {
  SpinGuard guard(g_lock);
  bool any = false;
  for (SlotClass& slot_class : g_classes) {
    if (slot_class.idle == nullptr) {
      slot_class.idle = slot_class.warm;
      slot_class.warm = nullptr;
    }
    any = any || slot_class.idle != nullptr;
  }
  return any;
}

size_t slot_chunk_count() {
  return g_chunks.count();
}

const Chunk& slot_chunk(size_t index) {
  return g_chunks[index];
}

const Chunk* find_chunk(const void* address) {
  return g_chunks.find(address);
}

StackSlot* find_slot(const void* address) {
  const Chunk* chunk = g_chunks.find(address);
  if (chunk == nullptr) return nullptr;
  size_t index = static_cast<size_t>(static_cast<const char*>(address) - chunk->base) / chunk->slot_size;
  StackSlot* slot = &chunk->slots[index];
  return slot->total_size != 0 ? slot : nullptr;
}

void make_slots_executable() {
  SpinGuard guard(g_lock);
  g_stack_protection.store(PROT_READ | PROT_WRITE | PROT_EXEC);
  for (size_t i = 0; i < g_chunks.count(); ++i) {
    const Chunk& chunk = g_chunks[i];
    // Where a guard is a protection, it stays.
    size_t at_once = g_guard_install_missing ? 1 : chunk.count;
    for (size_t slot = 0; slot < chunk.count; slot += at_once) {
      size_t kept = g_guard_install_missing ? chunk.slots[slot].guard_size : 0;
      sys::call(SYS_mprotect, chunk.base + slot * chunk.slot_size + kept, chunk.slot_size * at_once - kept,
                g_stack_protection.load());
    }
  }
}

void keep_slots(const void* address, size_t length) {
  const char* at = static_cast<const char*>(address);
  const char* end = at + length;
  while (at < end) {
    StackSlot* slot = find_slot(at);
    if (slot == nullptr) return;
    slot->kept = true;
    at = slot->base + slot->total_size;
  }
}

void register_all_slots() {
  SpinGuard guard(g_lock);
  for (size_t i = 0; i < g_chunks.count(); ++i) register_slots(g_chunks[i]);
}

SlotStatistics slot_statistics() {
  SpinGuard guard(g_lock);
  return {g_chunks.count(), g_slot_count, g_slots_in_use, g_reserved};
}

void lock_slots_for_fork() {
  g_lock.lock();
}

void unlock_slots_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim
