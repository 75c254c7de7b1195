// Walking a stack whose bytes are not at their addresses: saved ones (shared stacks, elastic stacks). LLVM's
// libunwind reads memory where it is and has no accessors for another place. So the bytes are copied to where
// they can stay, with every word that points into the stack moved along: frame pointers, saved stack pointers
// and what is computed from them are right there, and a word that only looks like such a pointer is none that
// the unwinder needs.
#pragma once

#include "runtime/diag/backtrace.h"
#include "runtime/thread/thread.h"

namespace coshim {

// What belongs at `address`, lying at `bytes`.
struct SavedBytes {
  const void* bytes = nullptr;
  uintptr_t address = 0;
  size_t size = 0;
};

class RebasedStack {
 public:
  // Copies as much as there is room for. The bytes may change or go away meanwhile: a fault ends the copying.
  explicit RebasedStack(const SavedBytes& saved);
  ~RebasedStack();
  RebasedStack(const RebasedStack&) = delete;
  RebasedStack& operator=(const RebasedStack&) = delete;

  bool valid() const { return copy_ != nullptr; }
  // Where the byte of the stack at `address` stands in the copy.
  const void* at(uintptr_t address) const { return copy_ + (address - low_); }
  // Registers that point into the stack, moved along.
  UnwindStart moved(UnwindStart start) const;

 private:
  uintptr_t move(uintptr_t word) const {
    return word >= low_ && word < low_ + size_ ? reinterpret_cast<uintptr_t>(copy_) + (word - low_) : word;
  }

  char* memory_ = nullptr;
  char* copy_ = nullptr;
  uintptr_t low_;
  size_t size_;
};

// Copies memory that may go away meanwhile. False: it did.
bool read_guarded(void* to, const void* from, size_t size);

// walk_stack() for a coroutine that parked at `stack_pointer` and whose stack is saved so.
size_t walk_saved_stack(const SavedBytes& saved, uintptr_t stack_pointer, uintptr_t* frames, size_t capacity);
// For one that was interrupted there.
size_t walk_saved_stack(const SavedBytes& saved, const UnwindStart& start, uintptr_t* frames,
                        size_t capacity);

// For a coroutine on a shared stack that does not run, or was frozen (runtime/sched/shared_switch.h).
size_t walk_shared_stack(const Coroutine* coroutine, uintptr_t* frames, size_t capacity);

}  // namespace coshim
