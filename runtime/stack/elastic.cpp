#include "runtime/stack/elastic.h"

#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/base/memory_limits.h"
#include "runtime/stack/cold_block.h"
#include "runtime/stack/compact.h"
#include "runtime/stack/depth.h"
#include "runtime/stack/pager.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/critical.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRedZone = 128;  // System V AMD64 ABI 3.2.2
constexpr size_t kBatch = 32;     // a resume may have to wait for as many
constexpr size_t kScratchPages = 4, kScratches = 16;
constexpr uint64_t kColdTimes = 2;  // times COSHIM_STACK_IDLE

SpinLock g_batch_lock;  // held during a batch; fork takes it
std::atomic<bool> g_stopped{false};
char* g_scratch;
std::atomic<bool> g_scratch_taken[kScratches];
std::atomic<uint64_t> g_saves{0}, g_restores{0}, g_touches{0};

// A few pages to build contents in. Not on the stack: that may be a small alternate one.
class Scratch {
 public:
  Scratch() {
    for (;; sys::yield()) {
      for (index_ = 0; index_ < kScratches; ++index_) {
        if (!g_scratch_taken[index_].exchange(true, std::memory_order_acquire)) return;
      }
    }
  }
  ~Scratch() { g_scratch_taken[index_].store(false, std::memory_order_release); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* memory() const { return g_scratch + index_ * kScratchPages * kPage; }

 private:
  size_t index_;
};

char* page_of(const void* address) {
  return reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(address) & ~(kPage - 1));
}

// What of a parked coroutine's slot is live, and what lies below it.
struct Extent {
  char* live;  // the lowest live byte, red zone included, word-aligned
  Stretch pages, below;
};

bool extent_of(const Coroutine* coroutine, Extent* extent) {
  const StackSlot* slot = coroutine->slot;
  auto* stack_pointer = static_cast<char*>(coroutine->stack_pointer);
  // A context of the program's own (makecontext), an alternate stack, or an overflow about to happen.
  if (stack_pointer < slot->stack_low + kRedZone || stack_pointer > slot->stack_top) return false;
  extent->live =
      reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(stack_pointer - kRedZone) & ~uintptr_t{7});
  char* low = page_of(extent->live);
  extent->pages = {low, static_cast<size_t>(slot->base + slot->total_size - low)};
  extent->below = {slot->stack_low, static_cast<size_t>(low - slot->stack_low)};
  return true;
}

void restore(Coroutine* coroutine) {
  CompactStack* saved = coroutine->saved;
  CompactReader reader(saved);
  open_block_of(coroutine->slot);
  if (!pager_active()) {  // the child of a fork
    pager_open_in_child(saved->low, saved->pages * kPage);
    for (char* page = saved->low; !reader.done(); page += kPage) reader.read_page(page);
    return;
  }
  Scratch scratch;
  char* low = saved->low;
  while (!reader.done()) {
    size_t size = 0;
    for (; size < kScratchPages * kPage && !reader.done(); size += kPage)
      reader.read_page(scratch.memory() + size);
    pager_bring_back(low, scratch.memory(), size);
    low += size;
  }
}

class Batch {
 public:
  bool full() const { return count_ == kBatch; }

  void add(Coroutine* coroutine) {
    auto expected = Residency::resident;
    if (coroutine->residency.compare_exchange_strong(expected, Residency::saving,
                                                     std::memory_order_acq_rel)) {
      members_[count_++].coroutine = coroutine;
    }
  }

  // Gives how many were handled.
  size_t finish(bool save) {
    if (count_ == 0) return 0;
    SpinGuard guard(g_batch_lock);
    if (g_stopped.load(std::memory_order_relaxed)) save = false;
    sys::call(SYS_membarrier, 1 << 3 /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */, 0, 0);
    keep_idle();
    for (size_t i = 0; i < count_; ++i) measure(members_[i]);
    size_t handled = count_;
    if (save) {
      sort();
      for (size_t first = 0, end; first < count_; first = end) {
        end = end_of_run(first);
        save_run(first, end);
      }
    } else {
      drop_below(0, count_);
      for (size_t i = 0; i < count_; ++i) let_go(members_[i].coroutine);
    }
    count_ = 0;
    return handled;
  }

 private:
  struct Member {
    Coroutine* coroutine;
    Extent extent;
  };

  void let_go(Coroutine* coroutine) {
    coroutine->left_alone = coroutine->wait_since;
    coroutine->residency.store(Residency::resident, std::memory_order_release);
  }

  void keep_idle() {
    size_t kept = 0;
    for (size_t i = 0; i < count_; ++i) {
      Coroutine* coroutine = members_[i].coroutine;
      bool idle = coroutine->state.load(std::memory_order_acquire) == CoroutineState::parked &&
                  coroutine->reached.load(std::memory_order_acquire) == 0 && coroutine->slot != nullptr &&
                  !coroutine->slot->kept;
      if (idle && extent_of(coroutine, &members_[kept].extent)) {
        members_[kept++].coroutine = coroutine;
      } else {
        let_go(coroutine);
      }
    }
    count_ = kept;
  }

  // What is about to be given back is forgotten otherwise.
  static void measure(const Member& member) {
    Coroutine* coroutine = member.coroutine;
    size_t depth = touched_depth(coroutine->slot, member.extent.pages.low);
    if (depth > coroutine->deepest) coroutine->deepest = depth;
    note_depth(depth);
  }

  // By address, so that neighbours are frozen and taken away together.
  void sort() {
    for (size_t i = 1; i < count_; ++i) {
      Member member = members_[i];
      size_t at = i;
      for (; at > 0 && members_[at - 1].extent.pages.low > member.extent.pages.low; --at) {
        members_[at] = members_[at - 1];
      }
      members_[at] = member;
    }
  }

  size_t end_of_run(size_t first) const {
    size_t end = first + 1;
    while (end < count_ && members_[end].coroutine->slot->base == end_of(members_[end - 1].extent.pages))
      ++end;
    return end;
  }

  static char* end_of(const Stretch& stretch) { return stretch.low + stretch.size; }

  void save_run(size_t first, size_t end) {
    char* low = members_[first].extent.pages.low;
    Stretch run{low, static_cast<size_t>(end_of(members_[end - 1].extent.pages) - low)};
    if (pager_freeze(run) != 0) {
      pager_thaw(run);
      for (size_t i = first; i < end; ++i) let_go(members_[i].coroutine);
      return;
    }
    Stretch stretches[kBatch];
    size_t encoded = 0, left = 0;
    Coroutine *with_copy[kBatch], *without[kBatch];
    for (size_t i = first; i < end; ++i) {
      Coroutine* coroutine = members_[i].coroutine;
      if (encode(members_[i])) {
        stretches[encoded] = members_[i].extent.pages;
        with_copy[encoded++] = coroutine;
      } else {
        without[left++] = coroutine;
      }
    }
    size_t taken = pager_take_away(run, stretches, encoded);
    drop_below(first, end);
    for (size_t i = 0; i < left; ++i) let_go(without[i]);
    for (size_t i = 0; i < encoded; ++i) end_save(with_copy[i], i < taken);
  }

  void drop_below(size_t first, size_t end) {
    Stretch stretches[kBatch];
    size_t count = 0;
    for (size_t i = first; i < end; ++i) stretches[count++] = members_[i].extent.below;
    pager_drop(stretches, count);
  }

  bool encode(const Member& member) {
    const Stretch& pages = member.extent.pages;
    CompactStack measured = compact_measure(pages.low, pages.size / kPage, member.extent.live);
    void* area = acquire_save_area(measured.size());
    if (area == nullptr) return false;
    member.coroutine->saved = compact_encode(area, measured, member.extent.live);
    return true;
  }

  void end_save(Coroutine* coroutine, bool taken) {
    if (taken) {
      g_saves.fetch_add(1, std::memory_order_relaxed);
      coroutine->residency.store(Residency::saved, std::memory_order_release);
      return;
    }
    CompactStack* saved = coroutine->saved;
    coroutine->saved = nullptr;
    release_save_area(saved, saved->size());
    let_go(coroutine);
  }

  Member members_[kBatch];
  size_t count_ = 0;
};

struct Scan {
  uint64_t now, idle_ticks;
  bool save;
  Batch batch;
  IdleScan result{0, 0};
};

void look_at(Coroutine* coroutine, void* context) {
  auto* scan = static_cast<Scan*>(context);
  if (coroutine->state.load(std::memory_order_relaxed) != CoroutineState::parked ||
      coroutine->residency.load(std::memory_order_relaxed) != Residency::resident || coroutine->user_stack ||
      coroutine->slot == nullptr || (scan->save && !coroutine->slot->registered)) {
    return;
  }
  uint64_t since = coroutine->wait_since;
  if (coroutine->left_alone == since) return;
  if (coroutine->resident_since > since) since = coroutine->resident_since;
  if (scan->now < since + scan->idle_ticks) {
    ++scan->result.remaining;
    return;
  }
  scan->batch.add(coroutine);
  if (scan->batch.full()) scan->result.handled += scan->batch.finish(scan->save);
}

void scan_free_slots(IdleScan* result) {
  for (;;) {
    SpinGuard guard(g_batch_lock);
    size_t trimmed = trim_free_slots();
    if (trimmed == 0) break;
    result->handled += trimmed;
  }
  if (age_free_slots()) ++result->remaining;
}

void scan_blocks(uint64_t now, uint64_t idle_ticks, IdleScan* result) {
  ColdScan cold = close_cold_blocks(now, kColdTimes * idle_ticks);
  result->handled += cold.closed;
  result->remaining += cold.remaining;
}

// Another thread may have brought the page back between the fault and its handler; but a page that is there
// and faults again and again is the program's own doing.
bool just_came_back(const void* address) {
  constexpr int kPatience = 1000;
  static std::atomic<const void*> last{nullptr};
  static std::atomic<int> times{0};
  if (last.exchange(address) != address) times.store(0);
  return times.fetch_add(1) < kPatience;
}

}  // namespace

bool elastic_start() {
  if (g_scratch != nullptr) return true;
  long memory = sys::call(SYS_mmap, nullptr, kScratches * kScratchPages * kPage, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return false;
  g_scratch = reinterpret_cast<char*>(memory);
  return true;
}

void elastic_bring_back(Coroutine* coroutine) {
  CriticalSection critical;  // a handler could touch what is half back, and wait for ever
  for (unsigned spins = 0;; ++spins) {
    Residency residency = coroutine->residency.load(std::memory_order_acquire);
    if (residency == Residency::resident) return;
    if (residency == Residency::saved && coroutine->residency.compare_exchange_strong(
                                             residency, Residency::restoring, std::memory_order_seq_cst)) {
      restore(coroutine);
      CompactStack* saved = coroutine->saved;
      coroutine->resident_since = tick_counter();
      coroutine->saved = nullptr;
      coroutine->residency.store(Residency::resident, std::memory_order_release);
      release_save_area(saved, saved->size());
      g_restores.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    if (spins < 100) {
      cpu_relax();
    } else {
      sys::yield();
    }
  }
}

bool elastic_touched(const void* address) {
  StackSlot* slot = find_slot(address);
  if (slot == nullptr || in_guard(slot, address)) return false;
  Coroutine* owner = slot->owner;
  if (owner == nullptr ||
      (owner->residency.load(std::memory_order_acquire) == Residency::resident && !just_came_back(address))) {
    return false;
  }
  elastic_bring_back(owner);
  g_touches.fetch_add(1, std::memory_order_relaxed);
  return true;
}

Coroutine* elastic_reach(const void* address) {
  Coroutine* self = t_local.coroutine;
  if (self != nullptr && self->slot != nullptr && in_slot(self->slot, address)) return nullptr;
  StackSlot* slot = find_slot(address);
  Coroutine* owner = slot != nullptr ? slot->owner : nullptr;
  if (owner == nullptr || owner == self) return nullptr;
  owner->reached.fetch_add(1, std::memory_order_seq_cst);  // before the residency is read, as a resume does
  elastic_bring_back(owner);
  return owner;
}

void elastic_stop() {
  if (!pager_active()) return;
  g_stopped.store(true);
  never_close_blocks();
  SpinGuard guard(g_batch_lock);  // after a batch that is under way
  for_each_coroutine([](Coroutine* coroutine, void*) { elastic_bring_back(coroutine); }, nullptr);
}

void elastic_writable_memory_ends() {
  if (pager_active()) never_close_blocks();
}

void elastic_make_executable() {
  SpinGuard guard(g_batch_lock);
  AllBlocksOpen open;
  make_slots_executable();
}

IdleScan elastic_scan(Nanoseconds idle, bool save) {
  static Scan scan;  // large, and there is one scanner
  scan.now = tick_counter();
  scan.idle_ticks = static_cast<uint64_t>(idle / 1000) * g_ticks_per_microsecond;
  // What is read-only for a moment could not become writable again where others used the memory meanwhile.
  scan.save = save && !writable_memory_is_limited();
  scan.result = IdleScan{0, 0};
  for_each_coroutine(&look_at, &scan);
  scan.result.handled += scan.batch.finish(scan.save);
  scan_free_slots(&scan.result);
  if (scan.save) scan_blocks(scan.now, scan.idle_ticks, &scan.result);
  return scan.result;
}

ElasticStatistics elastic_statistics() {
  uint64_t saves = g_saves.load(std::memory_order_relaxed),
           restores = g_restores.load(std::memory_order_relaxed);
  return {saves, restores, g_touches.load(std::memory_order_relaxed), static_cast<size_t>(saves - restores)};
}

void lock_elastic_for_fork() {
  g_batch_lock.lock();
  lock_blocks_for_fork();
}

void unlock_elastic_after_fork(bool child) {
  if (!child) {
    unlock_blocks_after_fork(false);
    g_batch_lock.unlock();
    return;
  }
  unlock_blocks_after_fork(true);
  g_batch_lock.reset();
  for (auto& taken : g_scratch_taken) taken.store(false);
  for_each_coroutine(
      [](Coroutine* coroutine, void*) {
        // What the saver had only chosen is untouched; what another thread was bringing back has not run
        // since, and its saved bytes are still whole.
        Residency residency = coroutine->residency.load();
        if (residency == Residency::saving) coroutine->residency.store(Residency::resident);
        if (residency == Residency::restoring) coroutine->residency.store(Residency::saved);
      },
      nullptr);
}

}  // namespace coshim
