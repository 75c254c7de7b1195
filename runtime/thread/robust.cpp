#include "runtime/thread/robust.h"

#include "runtime/thread/tcb.h"
#include "runtime/wait/parking_lot.h"

namespace coshim {

namespace {
constexpr int kLimit = 2048;  // the kernel's ROBUST_LIST_LIMIT: the list may be broken

void release_one(uint32_t* word, pid_t tid) {
  std::atomic<uint32_t>& futex = *reinterpret_cast<std::atomic<uint32_t>*>(word);
  uint32_t value = futex.load();
  do {
    if ((value & FUTEX_TID_MASK) != static_cast<uint32_t>(tid)) return;
  } while (!futex.compare_exchange_weak(value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED));
  lot_wake(word, 1);
  if ((value & FUTEX_WAITERS) != 0) sys::call(SYS_futex, word, FUTEX_WAKE, 1);  // waiters of other processes
}
}  // namespace

void release_robust_mutexes(Coroutine* self) {
  auto* head = tcb_robust_list(self->fs_base);
  uintptr_t end = reinterpret_cast<uintptr_t>(head);
  uintptr_t item = reinterpret_cast<uintptr_t>(head->list.next) & ~uintptr_t{1};
  for (int i = 0; i < kLimit && item != end && item != 0; ++i) {
    uintptr_t next = reinterpret_cast<uintptr_t>(reinterpret_cast<robust_list*>(item)->next) & ~uintptr_t{1};
    release_one(reinterpret_cast<uint32_t*>(item + static_cast<uintptr_t>(head->futex_offset)), self->tid);
    item = next;
  }
}

}  // namespace coshim
