#include "runtime/wait/timer.h"

#include <sys/mman.h>

#include "runtime/base/system_call.h"
#include "runtime/sched/processor.h"

namespace coshim {

namespace {
constexpr size_t kArity = 4;
}

void TimerHeap::place(size_t index, const Entry& entry) {
  entries_[index] = entry;
  entry.coroutine->timer_index = static_cast<uint32_t>(index);
  if (index == 0) earliest_.store(entry.deadline, std::memory_order_seq_cst);
}

void TimerHeap::sift_up(size_t index, const Entry& entry) {
  while (index > 0) {
    size_t parent = (index - 1) / kArity;
    if (entries_[parent].deadline <= entry.deadline) break;
    place(index, entries_[parent]);
    index = parent;
  }
  place(index, entry);
}

void TimerHeap::sift_down(size_t index, const Entry& entry) {
  for (;;) {
    size_t first = index * kArity + 1;
    if (first >= size_) break;
    size_t best = first;
    for (size_t child = first + 1; child < first + kArity && child < size_; ++child) {
      if (entries_[child].deadline < entries_[best].deadline) best = child;
    }
    if (entry.deadline <= entries_[best].deadline) break;
    place(index, entries_[best]);
    index = best;
  }
  place(index, entry);
}

bool TimerHeap::grow() {
  size_t capacity = capacity_ == 0 ? 256 : capacity_ * 2;
  long result = capacity_ == 0 ? sys::call(SYS_mmap, nullptr, capacity * sizeof(Entry),
                                           PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                               : sys::call(SYS_mremap, entries_, capacity_ * sizeof(Entry),
                                           capacity * sizeof(Entry), MREMAP_MAYMOVE);
  if (result < 0 && result > -4096) return false;
  entries_ = reinterpret_cast<Entry*>(result);
  capacity_ = capacity;
  return true;
}

bool TimerHeap::add(Coroutine* coroutine, bool* failed) {
  *failed = size_ == capacity_ && !grow();
  if (*failed) return false;
  sift_up(size_++, Entry{coroutine->deadline, coroutine});
  return coroutine->timer_index == 0;
}

void TimerHeap::remove_at(size_t index) {
  Entry last = entries_[--size_];
  if (index < size_) {
    if (index > 0 && last.deadline < entries_[(index - 1) / kArity].deadline) {
      sift_up(index, last);
    } else {
      sift_down(index, last);
    }
  }
  if (size_ == 0) earliest_.store(kForever, std::memory_order_seq_cst);
}

void TimerHeap::remove(Coroutine* coroutine) {
  remove_at(coroutine->timer_index);
}

Coroutine* TimerHeap::pop_due(Nanoseconds now) {
  if (size_ == 0 || entries_[0].deadline > now) return nullptr;
  Coroutine* coroutine = entries_[0].coroutine;
  remove_at(0);
  return coroutine;
}

void TimerHeap::clear() {
  size_ = 0;
  earliest_.store(kForever, std::memory_order_seq_cst);
}

bool arm_timer(Coroutine* self, Nanoseconds deadline) {
  Processor* processor = timer_home(self);
  self->deadline = deadline;
  bool failed = false;
  {
    SpinGuard guard(processor->timer_lock);
    self->timer_processor.store(processor, std::memory_order_relaxed);
    processor->timers.add(self, &failed);
    if (failed) self->timer_processor.store(nullptr, std::memory_order_relaxed);
  }
  return !failed;
}

void disarm_timer(Coroutine* self) {
  Processor* processor = self->timer_processor.load(std::memory_order_acquire);
  if (processor == nullptr) return;
  SpinGuard guard(processor->timer_lock);
  if (self->timer_processor.load(std::memory_order_relaxed) == nullptr) return;  // fired meanwhile
  processor->timers.remove(self);
  self->timer_processor.store(nullptr, std::memory_order_relaxed);
}

}  // namespace coshim
