// Slots: the memory of one coroutine, one aligned range (DESIGN §4):
//
//   base    stack_low                 stack_top    tcb
//   | guard | stack, grows down <------- | static TLS | struct pthread | colour |
//
// Carved from large MAP_NORESERVE chunks, committed by touch, guarded by MADV_GUARD_INSTALL (no VMA a stack)
// or mprotect. TLS and TCB are taken out of the stack's size, as glibc does it. Small stacks get some more
// than they asked for: room for our own frames, which natively they would not need.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace coshim {

struct Coroutine;
struct Chunk;

struct StackSlot {
  char* base = nullptr;  // lowest address: the guard's
  size_t guard_size = 0;
  size_t total_size = 0;
  char* stack_low = nullptr;  // first usable byte above the guard
  char* stack_top = nullptr;  // 16-byte aligned; below the static TLS
  void* tcb = nullptr;
  bool tcb_used = false;  // a TCB was built here before
  bool guarded = false;
  bool registered = false;          // with the pager
  bool kept = false;                // never to be saved
  std::atomic<bool> closed{false};  // the first of a block: runtime/stack/cold_block.h
  Coroutine* owner = nullptr;       // for the overflow report
  StackSlot* next = nullptr;        // free lists
};

// A slot with at least `stack_size` bytes for stack, TLS and TCB above a guard of at least `guard_size` (0:
// no guard). Null when memory or the kernel's limit of mappings ends (after one line that says why, once).
StackSlot* acquire_slot(size_t stack_size, size_t guard_size);
void release_slot(StackSlot* slot);

// What free slots were touched by is given back when nobody has taken them between two passes of the saver:
// age_free_slots() is a pass (false: none is free that has pages), trim_free_slots() gives back what the pass
// before found, a batch each time (how many; 0: no more). Not across a fork().
bool age_free_slots();
size_t trim_free_slots();

// Whether `address` may lie in a slot: a quick look at the lowest and the highest of all.
extern std::atomic<uintptr_t> g_slots_low, g_slots_high;
inline bool in_slots(const void* address) {
  auto at = reinterpret_cast<uintptr_t>(address);
  return at >= g_slots_low.load(std::memory_order_relaxed) &&
         at < g_slots_high.load(std::memory_order_relaxed);
}
// The chunks that the slots are carved from: each stays for ever.
size_t slot_chunk_count();
const Chunk& slot_chunk(size_t index);
const Chunk* find_chunk(const void* address);
// The slot whose range contains `address`, or null. No lock: for the SIGSEGV handler.
StackSlot* find_slot(const void* address);
inline bool in_slot(const StackSlot* slot, const void* address) {
  const char* a = static_cast<const char*>(address);
  return a >= slot->base && a < slot->base + slot->total_size;
}
inline bool in_guard(const StackSlot* slot, const void* address) {
  const char* a = static_cast<const char*>(address);
  return a >= slot->base && a < slot->base + slot->guard_size;
}

// PROT_EXEC for all stacks from now on, those that are there included. No save is under way meanwhile.
void make_slots_executable();

// The slots of this range are never saved from now on.
void keep_slots(const void* address, size_t length);
// The child of a fork starts afresh: all chunks are given to its own pager.
void register_all_slots();

// Memory for many stacks: committed by touch, no huge pages, not locked by mlockall(2). Null when memory
// ends.
char* map_stack_memory(size_t size);

struct SlotStatistics {
  size_t chunks, slots, slots_in_use, reserved_bytes;
};
SlotStatistics slot_statistics();

// Held across fork(), so that the child finds the slots whole.
void lock_slots_for_fork();
void unlock_slots_after_fork(bool child);

}  // namespace coshim
