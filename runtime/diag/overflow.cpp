// The report of a stack overflow, written on the alternate stack of the faulting kernel thread.
#include "runtime/base/log.h"
#include "runtime/diag/backtrace.h"
#include "runtime/diag/describe.h"
#include "runtime/stack/slot.h"
#include "runtime/thread/signals.h"

namespace coshim {

namespace {
constexpr size_t kFramesShown = 24;
}

void report_stack_overflow(const StackSlot* slot, const void* address, const void* context) {
  Coroutine* coroutine = slot->owner;
  Modules modules;
  SymbolTable symbols(&modules);
  char text[kSymbolText];
  format_symbol(text, sizeof(text), symbols.look_up(start_routine_of(coroutine)));
  COSHIM_LOG(error,
             "stack overflow at %p in thread %lu%s%s, started in %s: its stack of %lu KiB is used up; raise "
             "COSHIM_STACK_SIZE "
             "or the size that the program asks for",
             const_cast<void*>(address), coroutine->id, coroutine->name[0] != '\0' ? " " : "",
             coroutine->name, text, coroutine->stack_size / 1024);
  uintptr_t frames[kFramesShown];
  Unwinder unwinder(&modules);
  StackReader stack(nullptr);
  size_t count = unwinder.walk(start_of_context(context), &stack, frames, kFramesShown);
  Output out(g_log_fd);
  print_frames(out, &symbols, frames, count);
  if (count == kFramesShown) out.print("    ... and so on\n");
}

}  // namespace coshim
