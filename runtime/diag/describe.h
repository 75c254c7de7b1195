// One coroutine as a block of text.
#pragma once

#include "runtime/base/clock.h"
#include "runtime/diag/backtrace.h"
#include "runtime/diag/output.h"
#include "runtime/diag/symbols.h"
#include "runtime/thread/thread.h"

namespace coshim {

class Describer {
 public:
  Describer() : now_(tick_counter()) {}
  void describe(Output& out, Coroutine* coroutine);
  // Frames of a walk, one a line, until the outermost.
  void print_frames(Output& out, const uintptr_t* frames, size_t count);

 private:
  void print_wait(Output& out, const Coroutine* coroutine);
  void print_backtrace(Output& out, Coroutine* coroutine);

  uint64_t now_;
  SymbolTable symbols_;
};

// "waiting for a mutex" and so on.
const char* wait_text(WaitKind kind);

// The stack of a coroutine that runs on a worker, taken by a signal to that worker, which stands still
// meanwhile (at most a fraction of a second). False when it could not be had.
bool walk_running(Coroutine* coroutine, uintptr_t* frames, size_t capacity, size_t* count);

}  // namespace coshim
