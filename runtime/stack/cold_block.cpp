#include "runtime/stack/cold_block.h"

#include "runtime/base/log.h"
#include "runtime/base/spin_lock.h"
#include "runtime/stack/chunk_index.h"
#include "runtime/stack/compact.h"
#include "runtime/stack/pager.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/thread.h"

namespace coshim {

namespace {

constexpr size_t kLeastSlot = 512 * 1024;
// A block of few is closed sooner and opened faster; many blocks would be too many mappings.
constexpr size_t kFew = 16, kMany = 128;
constexpr size_t kManySlots = 64 * 1024;
constexpr size_t kPageTableReach = size_t{2} << 20;  // what one page of a page table maps
constexpr size_t kStretches = 64;

// Held while a block is closed or opened. A stack of a closed block is not brought back meanwhile: whoever is
// about to has stored Residency::restoring and then reads `closed`, which is stored before the residencies
// are read; one of the two sees the other.
SpinLock g_lock;
bool g_never;
std::atomic<size_t> g_closed{0};

struct Block {
  const Chunk& chunk;
  size_t first;  // slot

  StackSlot* slots() const { return chunk.slots + first; }
  size_t size() const { return chunk.block_slots; }
  std::atomic<bool>& closed() const { return slots()->closed; }
  Stretch range() const { return {chunk.base + first * chunk.slot_size, size() * chunk.slot_size}; }
  bool has_before() const { return first >= size(); }
  bool has_after() const { return first + 2 * size() <= chunk.count; }
  Block before() const { return {chunk, first - size()}; }
  Block after() const { return {chunk, first + size()}; }
};

uintptr_t round_down(uintptr_t value) {
  return value & ~(kPageTableReach - 1);
}

// The page table at an edge is shared with the neighbouring block, and free when both are closed.
Stretch with_shared_tables(const Block& block) {
  Stretch range = block.range();
  auto low = reinterpret_cast<uintptr_t>(range.low), high = low + range.size;
  if (block.has_before() && block.before().closed().load()) low = round_down(low);
  if (block.has_after() && block.after().closed().load()) high = round_down(high + kPageTableReach - 1);
  return {reinterpret_cast<char*>(low), high - low};
}

enum class Age { not_saved, young, cold };

Age age_of(const Block& block, uint64_t now, uint64_t age) {
  Age result = Age::cold;
  for (size_t i = 0; i < block.size(); ++i) {
    const Coroutine* owner = block.slots()[i].owner;
    if (owner == nullptr || owner->residency.load(std::memory_order_seq_cst) != Residency::saved)
      return Age::not_saved;
    uint64_t since = owner->wait_since;
    if (owner->resident_since > since) since = owner->resident_since;
    if (now < since + age) result = Age::young;
  }
  return result;
}

bool close(const Block& block) {
  CriticalSection critical;
  SpinGuard guard(g_lock);
  if (g_never) return false;
  block.closed().store(true, std::memory_order_seq_cst);
  if (age_of(block, 0, 0) == Age::not_saved || !pager_close(block.range(), with_shared_tables(block))) {
    block.closed().store(false, std::memory_order_seq_cst);
    return false;
  }
  g_closed.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Collects stretches, of which neighbours become one, and guards them.
class Guards {
 public:
  void add(char* low, size_t size) {
    if (size == 0) return;
    if (count_ > 0 && stretches_[count_ - 1].low + stretches_[count_ - 1].size == low) {
      stretches_[count_ - 1].size += size;
      return;
    }
    if (count_ == kStretches) install();
    stretches_[count_++] = {low, size};
  }
  void install() {
    pager_guard(stretches_, count_);
    count_ = 0;
  }

 private:
  Stretch stretches_[kStretches];
  size_t count_ = 0;
};

void guard_saved_stacks(const Block& block) {
  Guards guards;
  for (size_t i = 0; i < block.size(); ++i) {
    const StackSlot& slot = block.slots()[i];
    const CompactStack* saved = slot.owner->saved;
    guards.add(slot.base, slot.guard_size);
    guards.add(saved->low, static_cast<size_t>(slot.base + slot.total_size - saved->low));
  }
  guards.install();
}

// From `first` to `last`, all closed, neighbours.
bool try_open(const Block& first, const Block& last) {
  for (size_t slot = first.first; slot <= last.first; slot += first.size())
    guard_saved_stacks(Block{first.chunk, slot});
  char* low = first.range().low;
  char* end = last.range().low + last.range().size;
  if (!pager_try_open({low, static_cast<size_t>(end - low)})) return false;
  for (size_t slot = first.first; slot <= last.first; slot += first.size()) {
    Block{first.chunk, slot}.closed().store(false, std::memory_order_seq_cst);
    g_closed.fetch_sub(1, std::memory_order_relaxed);
  }
  return true;
}

// Where the program has used up vm.max_map_count, all closed neighbours together: that splits no mapping.
void open(const Block& block) {
  if (try_open(block, block)) return;
  size_t first = block.first, last = block.first;
  while (Block{block.chunk, first}.has_before() && Block{block.chunk, first}.before().closed().load())
    first -= block.size();
  while (Block{block.chunk, last}.has_after() && Block{block.chunk, last}.after().closed().load())
    last += block.size();
  for (bool told = false; !try_open(Block{block.chunk, first}, Block{block.chunk, last}); sys::yield()) {
    if (!told) COSHIM_LOG(warn, "no memory to make saved stacks accessible; trying again");
    told = true;
  }
}

template <typename Visit>
void for_each_block(Visit visit) {
  for (size_t i = 0; i < slot_chunk_count(); ++i) {
    const Chunk& chunk = slot_chunk(i);
    if (chunk.block_slots == 0) continue;
    for (size_t first = 0; first + chunk.block_slots <= chunk.count; first += chunk.block_slots)
      visit(Block{chunk, first});
  }
}

void open_all() {
  if (g_closed.load() == 0) return;
  for_each_block([](const Block& block) {
    if (block.closed().load()) open(block);
  });
}

}  // namespace

size_t slots_of_a_block(size_t slot_size, size_t slots_so_far) {
  if (slot_size < kLeastSlot) return 0;
  return slots_so_far < kManySlots ? kFew : kMany;
}

ColdScan close_cold_blocks(uint64_t now, uint64_t age) {
  ColdScan scan{0, 0};
  for_each_block([&](const Block& block) {
    if (block.closed().load(std::memory_order_relaxed)) return;
    Age found = age_of(block, now, age);
    if (found == Age::young) ++scan.remaining;
    if (found == Age::cold && close(block)) ++scan.closed;
  });
  return scan;
}

void open_block_of(const StackSlot* slot) {
  const Chunk* chunk = find_chunk(slot->base);
  if (chunk->block_slots == 0) return;
  auto index = static_cast<size_t>(slot - chunk->slots);
  index -= index % chunk->block_slots;
  if (index + chunk->block_slots > chunk->count) return;
  Block block{*chunk, index};
  if (!block.closed().load(std::memory_order_seq_cst)) return;
  CriticalSection critical;
  SpinGuard guard(g_lock);
  if (block.closed().load(std::memory_order_relaxed)) open(block);
}

AllBlocksOpen::AllBlocksOpen() {
  enter_critical();
  g_lock.lock();
  open_all();
}

AllBlocksOpen::~AllBlocksOpen() {
  g_lock.unlock();
  leave_critical();
}

void never_close_blocks() {
  AllBlocksOpen all;
  g_never = true;
}

size_t closed_blocks() {
  return g_closed.load(std::memory_order_relaxed);
}

void lock_blocks_for_fork() {
  g_lock.lock();
}

void unlock_blocks_after_fork(bool child) {
  if (child) {
    g_lock.reset();
  } else {
    g_lock.unlock();
  }
}

}  // namespace coshim
