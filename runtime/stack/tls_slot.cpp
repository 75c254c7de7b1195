#include "runtime/stack/tls_slot.h"

#include <sys/mman.h>

#include "runtime/base/spin_lock.h"
#include "runtime/base/system_call.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/tcb.h"

namespace coshim {

namespace {

constexpr size_t kFirstChunk = size_t{256} << 10;
constexpr size_t kLargestChunk = size_t{4} << 20;

// In a free slot, where the static TLS begins: dead, and made anew with the next TCB.
struct FreeSlot {
  FreeSlot* next;
};

SpinLock g_lock;
FreeSlot* g_free;
char* g_fresh;  // the current chunk's untouched part
size_t g_fresh_left;
size_t g_chunk_size = kFirstChunk;

size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}
size_t below() {
  return round_up(g_tcb_layout.below, g_tcb_layout.alignment);
}
size_t unit() {
  return round_up(below() + g_tcb_layout.pthread_size, g_tcb_layout.alignment);
}

char* begin_of(void* tcb) {
  return static_cast<char*>(tcb) - below();
}

// struct pthread's first words are the header of the x86-64 TLS ABI: tcb, dtv, self. Zero in fresh memory.
void*& self_word(void* tcb) {
  return static_cast<void**>(tcb)[2];
}

bool add_chunk() {
  char* chunk = map_stack_memory(g_chunk_size);
  if (chunk == nullptr) return false;
  g_fresh = chunk;
  g_fresh_left = g_chunk_size;
  if (g_chunk_size < kLargestChunk) g_chunk_size *= 2;
  return true;
}

}  // namespace

void* acquire_tls_slot() {
  SpinGuard guard(g_lock);
  if (g_free != nullptr) {
    auto* slot = reinterpret_cast<char*>(g_free);
    g_free = g_free->next;
    return slot + below();
  }
  if (g_fresh_left < unit() && !add_chunk()) return nullptr;
  char* slot = g_fresh;
  g_fresh += unit();
  g_fresh_left -= unit();
  return slot + below();
}

void release_tls_slot(void* tcb) {
  auto* slot = reinterpret_cast<FreeSlot*>(begin_of(tcb));
  SpinGuard guard(g_lock);
  slot->next = g_free;
  g_free = slot;
}

bool tls_slot_used(void* tcb) {
  return self_word(tcb) != nullptr;
}

void forget_tls_slot_use(void* tcb) {
  self_word(tcb) = nullptr;
}

void lock_tls_slots_for_fork() {
  g_lock.lock();
}

void unlock_tls_slots_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim
