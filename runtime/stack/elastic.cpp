#include "runtime/stack/elastic.h"

#include <sys/mman.h>

#include "runtime/base/log.h"
#include "runtime/stack/compact.h"
#include "runtime/stack/pager.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/pool.h"

namespace coshim {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRedZone = 128;  // System V AMD64 ABI 3.2.2
constexpr size_t kBatch = 32;     // a resume may have to wait for as many
constexpr size_t kScratchPages = 4, kScratches = 16;

SpinLock g_batch_lock;  // held during a batch; fork takes it
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
      coroutines_[count_++] = coroutine;
    }
  }

  // Gives how many were handled.
  size_t finish(bool save) {
    if (count_ == 0) return 0;
    SpinGuard guard(g_batch_lock);
    sys::call(SYS_membarrier, 1 << 3 /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */, 0, 0);
    keep_if([this](size_t i) { return still_idle(i); });
    if (save) {
      keep_if([this](size_t i) { return pager_protect(extents_[i].pages.low, extents_[i].pages.size) == 0; });
      keep_if([this](size_t i) { return encode(i); });
      take_away();
    } else {
      for (size_t i = 0; i < count_; ++i) pager_drop(&extents_[i].below, 1);
      for (size_t i = 0; i < count_; ++i) let_go(i);
    }
    size_t handled = count_;
    count_ = 0;
    return handled;
  }

 private:
  template <typename Check>
  void keep_if(Check check) {
    size_t kept = 0;
    for (size_t i = 0; i < count_; ++i) {
      if (!check(i)) {
        let_go(i);
        continue;
      }
      coroutines_[kept] = coroutines_[i];
      extents_[kept++] = extents_[i];
    }
    count_ = kept;
  }

  void let_go(size_t i) {
    coroutines_[i]->left_alone = coroutines_[i]->wait_since;
    coroutines_[i]->residency.store(Residency::resident, std::memory_order_release);
  }

  bool still_idle(size_t i) {
    Coroutine* coroutine = coroutines_[i];
    return coroutine->state.load(std::memory_order_acquire) == CoroutineState::parked &&
           coroutine->reached.load(std::memory_order_acquire) == 0 && coroutine->slot != nullptr &&
           extent_of(coroutine, &extents_[i]);
  }

  bool encode(size_t i) {
    const Extent& extent = extents_[i];
    size_t pages = extent.pages.size / kPage;
    const char* low = static_cast<const char*>(extent.pages.low);
    size_t size = compact_size(low, pages, extent.live);
    void* area = acquire_save_area(size);
    if (area == nullptr) {
      pager_unprotect(extent.pages.low, extent.pages.size);
      return false;
    }
    coroutines_[i]->saved = compact_encode(area, low, pages, extent.live);
    return true;
  }

  void take_away() {
    Stretch stretches[kBatch];
    bool taken[kBatch];
    for (size_t i = 0; i < count_; ++i) stretches[i] = extents_[i].pages;
    pager_take_away(stretches, count_, taken);
    for (size_t i = 0; i < count_; ++i) {
      Coroutine* coroutine = coroutines_[i];
      if (taken[i]) {
        pager_drop(&extents_[i].below, 1);
        g_saves.fetch_add(1, std::memory_order_relaxed);
        coroutine->residency.store(Residency::saved, std::memory_order_release);
        continue;
      }
      CompactStack* saved = coroutine->saved;
      coroutine->saved = nullptr;
      release_save_area(saved, saved->size());
      let_go(i);
    }
  }

  Coroutine* coroutines_[kBatch];
  Extent extents_[kBatch];
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
  for (unsigned spins = 0;; ++spins) {
    Residency residency = coroutine->residency.load(std::memory_order_acquire);
    if (residency == Residency::resident) return;
    if (residency == Residency::saved && coroutine->residency.compare_exchange_strong(
                                             residency, Residency::restoring, std::memory_order_acq_rel)) {
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
  if (owner == nullptr) return false;
  elastic_bring_back(owner);
  g_touches.fetch_add(1, std::memory_order_relaxed);
  return true;
}

Coroutine* elastic_reach(const void* address) {
  StackSlot* slot = find_slot(address);
  Coroutine* owner = slot != nullptr ? slot->owner : nullptr;
  if (owner == nullptr || owner == t_local.coroutine) return nullptr;
  owner->reached.fetch_add(1, std::memory_order_seq_cst);  // before the residency is read, as a resume does
  elastic_bring_back(owner);
  return owner;
}

IdleScan elastic_scan(Nanoseconds idle, bool save) {
  static Scan scan;  // large, and there is one scanner
  scan.now = tick_counter();
  scan.idle_ticks = static_cast<uint64_t>(idle / 1000) * g_ticks_per_microsecond;
  scan.save = save;
  scan.result = IdleScan{0, 0};
  for_each_coroutine(&look_at, &scan);
  scan.result.handled += scan.batch.finish(save);
  return scan.result;
}

ElasticStatistics elastic_statistics() {
  uint64_t saves = g_saves.load(std::memory_order_relaxed),
           restores = g_restores.load(std::memory_order_relaxed);
  return {saves, restores, g_touches.load(std::memory_order_relaxed), static_cast<size_t>(saves - restores)};
}

void lock_elastic_for_fork() {
  g_batch_lock.lock();
}

void unlock_elastic_after_fork(bool child) {
  if (!child) {
    g_batch_lock.unlock();
    return;
  }
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
