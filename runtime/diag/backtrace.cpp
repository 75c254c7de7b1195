#include "runtime/diag/backtrace.h"

#include <libunwind.h>
#include <ucontext.h>

#include "preload/swap/swap.h"
#include "runtime/base/system_call.h"

namespace coshim {

thread_local jmp_buf* t_fault_recovery __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

// unw_step() in its own frame: nothing of it is live after a fault.
__attribute__((noinline)) size_t walk(const UnwindStart& start, uintptr_t* frames, size_t capacity,
                                      size_t* reached) {
  unw_context_t context;
  unw_cursor_t cursor;
  unw_getcontext(&context);
  unw_init_local(&cursor, &context);
  unw_set_reg(&cursor, UNW_X86_64_RSP, start.rsp);
  unw_set_reg(&cursor, UNW_X86_64_RBP, start.rbp);
  unw_set_reg(&cursor, UNW_X86_64_RBX, start.rbx);
  unw_set_reg(&cursor, UNW_X86_64_R12, start.r12);
  unw_set_reg(&cursor, UNW_X86_64_R13, start.r13);
  unw_set_reg(&cursor, UNW_X86_64_R14, start.r14);
  unw_set_reg(&cursor, UNW_X86_64_R15, start.r15);
  // Last: looks up the procedure. The unwinder applies the rules of the instruction before a return address;
  // one further is right for an interrupted instruction.
  unw_set_reg(&cursor, UNW_REG_IP, start.rip + (start.interrupted ? 1 : 0));
  frames[(*reached)++] = start.rip;
  while (*reached < capacity && unw_step(&cursor) > 0) {
    unw_word_t address = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &address);
    if (address == 0) break;
    frames[(*reached)++] = address;
  }
  return *reached;
}

}  // namespace

size_t walk_stack(const UnwindStart& start, uintptr_t* frames, size_t capacity) {
  if (start.rip == 0 || capacity == 0) return 0;
  volatile size_t result = 0;
  size_t reached = 0;
  jmp_buf recovery;
  sys::KernelSignalSet faults = sys::signal_bit(SIGSEGV) | sys::signal_bit(SIGBUS), mask = 0;
  sys::set_signal_mask(SIG_UNBLOCK, &faults, &mask);
  if (_setjmp(recovery) == 0) {
    t_fault_recovery = &recovery;
    result = walk(start, frames, capacity, &reached);
  } else {
    result = reached;
  }
  t_fault_recovery = nullptr;
  sys::set_signal_mask(SIG_SETMASK, &mask, nullptr);
  return result;
}

UnwindStart start_of_parked(const void* stack_pointer) {
  const auto* frame = static_cast<const SwapFrame*>(stack_pointer);
  UnwindStart start;
  start.rip = frame->rip;
  start.rsp = reinterpret_cast<uintptr_t>(frame + 1);
  start.rbp = frame->rbp;
  start.rbx = frame->rbx;
  start.r12 = frame->r12;
  start.r13 = frame->r13;
  start.r14 = frame->r14;
  start.r15 = frame->r15;
  return start;
}

UnwindStart start_of_context(const void* context) {
  const greg_t* r = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  UnwindStart start;
  start.interrupted = true;
  start.rip = static_cast<uintptr_t>(r[REG_RIP]);
  start.rsp = static_cast<uintptr_t>(r[REG_RSP]);
  start.rbp = static_cast<uintptr_t>(r[REG_RBP]);
  start.rbx = static_cast<uintptr_t>(r[REG_RBX]);
  start.r12 = static_cast<uintptr_t>(r[REG_R12]);
  start.r13 = static_cast<uintptr_t>(r[REG_R13]);
  start.r14 = static_cast<uintptr_t>(r[REG_R14]);
  start.r15 = static_cast<uintptr_t>(r[REG_R15]);
  return start;
}

}  // namespace coshim
