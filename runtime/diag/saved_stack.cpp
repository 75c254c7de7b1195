#include "runtime/diag/saved_stack.h"

#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "preload/swap/swap.h"
#include "runtime/base/system_call.h"
#include "runtime/sched/shared_switch.h"

namespace coshim {

namespace {

// Deeper ones are shown as far as this goes: their innermost frames.
constexpr size_t kMostBytes = size_t{1} << 20;

// True when all was read.
__attribute__((noinline)) bool copy_guarded(char* to, const void* from, size_t size) {
  jmp_buf recovery;
  volatile bool whole = false;
  sys::KernelSignalSet faults = sys::signal_bit(SIGSEGV) | sys::signal_bit(SIGBUS), mask = 0;
  sys::set_signal_mask(SIG_UNBLOCK, &faults, &mask);
  if (_setjmp(recovery) == 0) {
    t_fault_recovery = &recovery;
    memcpy(to, from, size);
    whole = true;
  }
  t_fault_recovery = nullptr;
  sys::set_signal_mask(SIG_SETMASK, &mask, nullptr);
  return whole;
}

constexpr size_t kAlignment = 64;  // kept: some frames round their stack pointer

}  // namespace

bool read_guarded(void* to, const void* from, size_t size) {
  return copy_guarded(static_cast<char*>(to), from, size);
}

RebasedStack::RebasedStack(const SavedBytes& saved)
    : low_(saved.address), size_(saved.size < kMostBytes ? saved.size : kMostBytes) {
  if (size_ == 0) return;
  long memory = sys::call(SYS_mmap, nullptr, size_ + kAlignment, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return;
  memory_ = reinterpret_cast<char*>(memory);
  if (!copy_guarded(memory_ + low_ % kAlignment, saved.bytes, size_)) return;
  copy_ = memory_ + low_ % kAlignment;
  const size_t first = (8 - low_ % 8) % 8;
  for (size_t i = first; i + 8 <= size_; i += 8) {
    uintptr_t word;
    memcpy(&word, copy_ + i, 8);
    word = move(word);
    memcpy(copy_ + i, &word, 8);
  }
}

RebasedStack::~RebasedStack() {
  if (memory_ != nullptr) sys::call(SYS_munmap, memory_, size_ + kAlignment);
}

UnwindStart RebasedStack::moved(UnwindStart start) const {
  uintptr_t* const words[] = {&start.rsp, &start.rbp, &start.rbx, &start.r12,
                              &start.r13, &start.r14, &start.r15};
  for (uintptr_t* word : words) *word = move(*word);
  return start;
}

size_t walk_saved_stack(const SavedBytes& saved, const UnwindStart& start, uintptr_t* frames,
                        size_t capacity) {
  RebasedStack copy(saved);
  return copy.valid() ? walk_stack(copy.moved(start), frames, capacity) : 0;
}

size_t walk_saved_stack(const SavedBytes& saved, uintptr_t stack_pointer, uintptr_t* frames,
                        size_t capacity) {
  bool whole = stack_pointer >= saved.address && saved.size >= sizeof(SwapFrame) &&
               stack_pointer - saved.address <= saved.size - sizeof(SwapFrame);
  if (!whole) return 0;
  RebasedStack copy(saved);
  if (!copy.valid()) return 0;
  // The frame that the switch left has been moved with the rest.
  return walk_stack(start_of_parked(copy.at(stack_pointer)), frames, capacity);
}

size_t walk_shared_stack(const Coroutine* coroutine, uintptr_t* frames, size_t capacity) {
  const StackBytes where = shared_stack_bytes(coroutine);
  const SavedBytes saved{where.bytes, where.address, where.size};
  if (coroutine->frozen.load(std::memory_order_acquire) != kFrozen) {
    return walk_saved_stack(saved, reinterpret_cast<uintptr_t>(coroutine->stack_pointer), frames, capacity);
  }
  ucontext_t context;
  constexpr size_t kRegistersEnd = offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t::gregs);
  if (!read_guarded(&context, coroutine->frozen_context, kRegistersEnd)) return 0;
  return walk_saved_stack(saved, start_of_context(&context), frames, capacity);
}

}  // namespace coshim
