#include "runtime/stack/shared_stack.h"

#include <string.h>
#include <sys/mman.h>

#include <new>

#include "preload/swap/copy.h"
#include "preload/swap/swap.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/slot.h"

namespace coshim {

bool g_shared_stacks = false;
std::atomic<uint32_t> g_waiting_for_stacks{0};

namespace {

// Stacks of one size and guard, so that a thread's bounds are what it asked for.
struct StackSet {
  size_t stack_size = 0, guard_size = 0;
  SharedStack* stacks = nullptr;  // reserved for kMostStacks
  std::atomic<size_t> count{0};
};
constexpr int kSets = 16;
constexpr size_t kMostStacks = 16384;
// Tops of equally placed stacks would share cache sets.
constexpr size_t kColours = 8, kColourStep = 320;
// A larger save area than needed is kept when it wastes no more than this.
constexpr size_t kKeptWaste = 64;

constexpr uint32_t kTaken = 1 << 30;  // owners of a stack that nobody else may have

SpinLock g_lock;  // guards binding
StackSet g_sets[kSets];
size_t g_usual_stacks = 1;
std::atomic<uint64_t> g_copies{0};

SharedStack* add_stack(StackSet& set) {
  if (set.stacks == nullptr) {
    long memory = sys::call(SYS_mmap, nullptr, kMostStacks * sizeof(SharedStack), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096) return nullptr;
    set.stacks = reinterpret_cast<SharedStack*>(memory);
  }
  size_t index = set.count.load(std::memory_order_relaxed);
  StackSlot* slot = acquire_slot(set.stack_size, set.guard_size);
  if (slot == nullptr) return nullptr;
  auto* stack = new (&set.stacks[index]) SharedStack;
  stack->slot = slot;
  stack->low = slot->stack_low;
  // The whole slot is stack: TLS and TCB are elsewhere.
  stack->top = slot->base + slot->total_size - index % kColours * kColourStep;
  set.count.store(index + 1, std::memory_order_release);
  return stack;
}

StackSet* find_set(size_t stack_size, size_t guard_size) {
  for (StackSet& set : g_sets) {
    if (set.stack_size == 0) {
      set.stack_size = stack_size;
      set.guard_size = guard_size;
    }
    if (set.stack_size == stack_size && set.guard_size == guard_size) return &set;
  }
  return nullptr;
}

// Stuck stacks come last: their owners have to wait for a time slice on them.
SharedStack* fewest_owners(const StackSet& set, bool* all_stuck) {
  SharedStack* best = nullptr;
  uint64_t fewest = ~uint64_t{0};
  *all_stuck = true;
  for (size_t i = 0; i < set.count.load(std::memory_order_relaxed); ++i) {
    SharedStack* stack = &set.stacks[i];
    bool stuck = stack->stuck.load(std::memory_order_relaxed);
    *all_stuck = *all_stuck && stuck;
    uint64_t owners =
        stack->owners.load(std::memory_order_relaxed) + (stuck ? uint64_t{1} << 32 : uint64_t{0});
    if (owners >= fewest) continue;
    fewest = owners;
    best = stack;
  }
  return best;
}

size_t live_size(const Coroutine* coroutine, const void* stack_pointer) {
  return static_cast<size_t>(coroutine->shared_stack->top - static_cast<const char*>(stack_pointer));
}

bool reserve_saved(Coroutine* coroutine, size_t size) {
  size_t capacity = coroutine->saved_capacity;
  if (size <= capacity && capacity - size <= kKeptWaste) return true;
  if (capacity != 0) release_save_area(coroutine->saved_bytes, capacity);
  coroutine->saved_capacity = 0;
  coroutine->saved_bytes = acquire_save_area(size);
  if (coroutine->saved_bytes == nullptr) return false;
  coroutine->saved_capacity = static_cast<uint32_t>(size);
  return true;
}

void push_waiting(SharedStack* stack, Coroutine* coroutine) {
  coroutine->queue_next = nullptr;
  if (stack->last_waiting != nullptr) {
    stack->last_waiting->queue_next = coroutine;
  } else {
    stack->first_waiting = coroutine;
  }
  stack->last_waiting = coroutine;
}

Coroutine* pop_waiting(SharedStack* stack) {
  Coroutine* coroutine = stack->first_waiting;
  stack->first_waiting = coroutine->queue_next;
  if (stack->first_waiting == nullptr) stack->last_waiting = nullptr;
  return coroutine;
}

void count_waiting(SharedStack* stack, int change) {
  stack->waiting_count.fetch_add(static_cast<uint32_t>(change), std::memory_order_seq_cst);
  g_waiting_for_stacks.fetch_add(static_cast<uint32_t>(change), std::memory_order_seq_cst);
}

}  // namespace

void shared_stacks_start(size_t stacks) {
  g_usual_stacks = stacks;
  g_shared_stacks = true;
}

SharedStack* bind_shared_stack(size_t stack_size, size_t guard_size) {
  SpinGuard guard(g_lock);
  StackSet* set = find_set(stack_size, guard_size);
  if (set == nullptr) return nullptr;
  bool all_stuck;
  SharedStack* stack = fewest_owners(*set, &all_stuck);
  const size_t count = set->count.load(std::memory_order_relaxed);
  bool unused = stack != nullptr && stack->owners.load(std::memory_order_relaxed) == 0;
  if (!unused && count < (all_stuck ? kMostStacks : g_usual_stacks)) {
    SharedStack* added = add_stack(*set);
    if (added != nullptr) stack = added;
  }
  if (stack != nullptr) stack->owners.fetch_add(1, std::memory_order_relaxed);
  return stack;
}

void leave_shared_stack(Coroutine* coroutine) {
  coroutine->shared_stack->owners.fetch_sub(1, std::memory_order_relaxed);
  coroutine->shared_stack = nullptr;
  if (coroutine->saved_capacity != 0) release_save_area(coroutine->saved_bytes, coroutine->saved_capacity);
  coroutine->saved_capacity = coroutine->saved_size = 0;
}

bool prepare_shared_stack(Coroutine* coroutine, void (*entry)(void*)) {
  constexpr size_t kFirst = (sizeof(SwapFrame) + 16 + 15) / 16 * 16;
  char* top =
      reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(coroutine->shared_stack->top) & ~uintptr_t{15});
  if (!reserve_saved(coroutine, kFirst)) return false;
  auto* copy = static_cast<char*>(coroutine->saved_bytes);
  auto* frame = static_cast<char*>(swap_prepare(copy + kFirst, entry, coroutine));
  coroutine->stack_pointer = top - (copy + kFirst - frame);
  coroutine->saved_size = static_cast<uint32_t>(copy + kFirst - frame);
  // What is saved begins at the stack pointer.
  memmove(copy, frame, coroutine->saved_size);
  return true;
}

bool claim_shared_stack(Coroutine* coroutine) {
  SharedStack* stack = coroutine->shared_stack;
  Coroutine* holder = nullptr;
  if (stack->holder.compare_exchange_strong(holder, coroutine, std::memory_order_acq_rel)) return true;
  if (holder == coroutine) return true;  // kept for it
  SpinGuard guard(stack->lock);
  count_waiting(stack, 1);  // first: who releases looks at the count after that
  holder = nullptr;
  if (stack->holder.compare_exchange_strong(holder, coroutine, std::memory_order_seq_cst)) {
    count_waiting(stack, -1);
    return true;
  }
  push_waiting(stack, coroutine);
  return false;
}

void wait_for_shared_stack(Coroutine* coroutine) {
  SharedStack* stack = coroutine->shared_stack;
  SpinGuard guard(stack->lock);
  count_waiting(stack, 1);
  push_waiting(stack, coroutine);
}

Coroutine* release_shared_stack(SharedStack* stack) {
  stack->holder.store(nullptr, std::memory_order_seq_cst);
  if (stack->waiting_count.load(std::memory_order_seq_cst) == 0) return nullptr;
  SpinGuard guard(stack->lock);
  if (stack->first_waiting == nullptr) return nullptr;
  Coroutine* nobody = nullptr;
  // Somebody else may have claimed it meanwhile: then it is up to him.
  if (!stack->holder.compare_exchange_strong(nobody, stack->first_waiting, std::memory_order_seq_cst))
    return nullptr;
  count_waiting(stack, -1);
  return pop_waiting(stack);
}

bool save_shared_stack(Coroutine* coroutine, const void* stack_pointer) {
  size_t size = live_size(coroutine, stack_pointer);
  if (__builtin_expect(!reserve_saved(coroutine, size), 0)) return false;
  copy_stack(coroutine->saved_bytes, stack_pointer, size);
  coroutine->saved_size = static_cast<uint32_t>(size);
  return true;
}

bool load_shared_stack(Coroutine* coroutine, void* stack_pointer) {
  SharedStack* stack = coroutine->shared_stack;
  Coroutine* occupant = stack->occupant;
  if (occupant == coroutine) return true;
  if (occupant != nullptr && !save_shared_stack(occupant, occupant->stack_pointer)) return false;
  stack->occupant = coroutine;
  stack->slot->owner = coroutine;
  copy_stack(stack_pointer, coroutine->saved_bytes, coroutine->saved_size);
  g_copies.store(g_copies.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // about right
  return true;
}

StackBytes shared_stack_bytes(const Coroutine* coroutine) {
  // It may end meanwhile.
  const SharedStack* stack = __atomic_load_n(&coroutine->shared_stack, __ATOMIC_RELAXED);
  if (stack == nullptr) return {nullptr, 0, 0};
  if (stack->occupant != coroutine) {
    return {static_cast<const char*>(coroutine->saved_bytes),
            reinterpret_cast<uintptr_t>(stack->top) - coroutine->saved_size, coroutine->saved_size};
  }
  const auto* live = static_cast<const char*>(coroutine->stack_pointer);
  return {live, reinterpret_cast<uintptr_t>(live), static_cast<size_t>(stack->top - live)};
}

void for_each_shared_stack(void (*visit)(SharedStack*, void*), void* context) {
  for (StackSet& set : g_sets) {
    size_t count = set.count.load(std::memory_order_acquire);
    for (size_t i = 0; i < count; ++i) visit(&set.stacks[i], context);
  }
}

SharedStack* find_shared_stack(const void* address) {
  struct Search {
    const void* address;
    SharedStack* found;
  } search{address, nullptr};
  for_each_shared_stack(
      [](SharedStack* stack, void* context) {
        auto* wanted = static_cast<Search*>(context);
        if (stack->contains(wanted->address)) wanted->found = stack;
      },
      &search);
  return search.found;
}

SharedStackStatistics shared_stack_statistics() {
  SharedStackStatistics statistics{};
  for_each_shared_stack(
      [](SharedStack* stack, void* context) {
        auto* sum = static_cast<SharedStackStatistics*>(context);
        ++sum->stacks;
        sum->owners += stack->owners.load(std::memory_order_relaxed);
        sum->waiting += stack->waiting_count.load(std::memory_order_relaxed);
      },
      &statistics);
  statistics.copies = g_copies.load(std::memory_order_relaxed);
  return statistics;
}

void lock_shared_stacks_for_fork() {
  g_lock.lock();
}

void unlock_shared_stacks_after_fork(bool child, Coroutine* self) {
  if (!child) {
    g_lock.unlock();
    return;
  }
  g_lock.reset();
  g_waiting_for_stacks.store(0);
  for_each_shared_stack(
      [](SharedStack* stack, void* own) {
        stack->lock.reset();
        stack->first_waiting = stack->last_waiting = nullptr;
        stack->waiting_count.store(0);
        stack->seen_holder = nullptr;
        if (stack == own) {
          stack->owners.store(kTaken);
          return;
        }
        stack->holder.store(nullptr);
        stack->occupant = nullptr;
      },
      self != nullptr ? self->shared_stack : nullptr);
}

}  // namespace coshim
