#include "runtime/diag/backtrace.h"

#include <signal.h>
#include <ucontext.h>

#include "preload/swap/swap.h"
#include "runtime/base/system_call.h"
#include "runtime/thread/thread.h"

namespace coshim {

__thread void** t_fault_recovery __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

constexpr uint32_t kAllPreserved = 1U << kRbx | 1U << kRbp | 15U << kR12;

// Code without tables: a frame pointer, if there is one.
bool step_by_frame_pointer(StackReader* stack, Frame* frame) {
  uint64_t pointer = frame->registers[kRbp], next = 0, address = 0;
  if ((frame->known >> kRbp & 1) == 0 || pointer <= frame->registers[kRsp] || pointer % 8 != 0) return false;
  if (!stack->word(pointer, &next) || !stack->word(pointer + 8, &address) || address == 0) return false;
  frame->registers[kRsp] = pointer + 16;
  frame->registers[kRbp] = next;
  frame->registers[kReturnAddress] = address;
  frame->known = 1U << kRsp | 1U << kRbp | 1U << kReturnAddress;
  return true;
}

}  // namespace

WalkStart start_of(const UnwindStart& where) {
  WalkStart start{};
  Frame& frame = start.frame;
  frame.registers[kReturnAddress] = where.rip;
  frame.registers[kRsp] = where.rsp;
  frame.registers[kRbp] = where.rbp;
  frame.registers[kRbx] = where.rbx;
  frame.registers[kR12] = where.r12;
  frame.registers[kR12 + 1] = where.r13;
  frame.registers[kR12 + 2] = where.r14;
  frame.registers[kR12 + 3] = where.r15;
  frame.known = 1U << kReturnAddress | 1U << kRsp | (where.pointers_only ? 0 : kAllPreserved);
  start.interrupted = where.interrupted;
  return start;
}

WalkStart start_of_context(const void* context) {
  // In DWARF's order (psABI, figure 3.36).
  constexpr int kOrder[kRegisters] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                      REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
  const greg_t* registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  WalkStart start{};
  for (int i = 0; i < kRegisters; ++i) start.frame.registers[i] = static_cast<uint64_t>(registers[kOrder[i]]);
  start.frame.known = (1U << kRegisters) - 1;
  start.interrupted = true;
  return start;
}

Unwinder::Unwinder(Modules* modules)
    : modules_(modules), cache_(static_cast<FrameRules*>(map_zeroed(kCached * sizeof(FrameRules)))) {}

Unwinder::~Unwinder() {
  unmap(cache_, kCached * sizeof(FrameRules));
}

const FrameRules* Unwinder::rules_for(uintptr_t address) {
  FrameRules* rules = cache_ != nullptr ? &cache_[address * 0x9E3779B97F4A7C15U >> 54] : &uncached_;
  static_assert(kCached == 1 << (64 - 54), "the hash gives an index");
  if (rules->address == address) return rules->found ? rules : nullptr;
  const Module* module = modules_->find(address);
  if (module == nullptr) return nullptr;
  return find_frame_rules(module, address, rules) ? rules : nullptr;
}

bool Unwinder::step(StackReader* stack, Frame* frame, bool* interrupted) {
  // A return address belongs to the call before it.
  const FrameRules* rules = rules_for(frame->registers[kReturnAddress] - (*interrupted ? 0 : 1));
  // A signal frame's table begins at its return address.
  if (rules == nullptr && !*interrupted) rules = rules_for(frame->registers[kReturnAddress]);
  *interrupted = rules != nullptr && rules->signal_frame;
  return rules != nullptr ? apply_frame_rules(*rules, stack, frame) : step_by_frame_pointer(stack, frame);
}

// In its own frame: nothing of it is live after a fault.
__attribute__((noinline)) size_t Unwinder::walk_unguarded(const WalkStart& start, StackReader* stack,
                                                          uintptr_t* frames, size_t capacity,
                                                          volatile size_t* reached) {
  Frame frame = start.frame;
  bool interrupted = start.interrupted;
  frames[0] = frame.registers[kReturnAddress];
  *reached = 1;
  while (*reached < capacity && step(stack, &frame, &interrupted)) {
    frames[*reached] = frame.registers[kReturnAddress];
    *reached = *reached + 1;
  }
  return *reached;
}

// What is read may go away meanwhile: a module with its tables, the area that a stack is saved in.
template <typename Walk>
size_t Unwinder::guarded(Walk&& walk) {
  volatile size_t reached = 0;
  void* recovery[5];
  sys::KernelSignalSet faults = sys::signal_bit(SIGSEGV) | sys::signal_bit(SIGBUS), mask = 0;
  sys::set_signal_mask(SIG_UNBLOCK, &faults, &mask);
  if (__builtin_setjmp(recovery) == 0) {
    t_fault_recovery = recovery;
    walk(&reached);
  }
  t_fault_recovery = nullptr;
  sys::set_signal_mask(SIG_SETMASK, &mask, nullptr);
  return reached;
}

size_t Unwinder::walk(const WalkStart& start, StackReader* stack, uintptr_t* frames, size_t capacity) {
  if (start.frame.registers[kReturnAddress] == 0 || capacity == 0) return 0;
  return guarded([&](volatile size_t* reached) { walk_unguarded(start, stack, frames, capacity, reached); });
}

// In its own frame, as walk_unguarded.
__attribute__((noinline)) void Unwinder::walk_parked_unguarded(const Coroutine* coroutine, uintptr_t* frames,
                                                               size_t capacity, volatile size_t* reached) {
  StackReader stack(coroutine);
  auto place = reinterpret_cast<uintptr_t>(coroutine->stack_pointer);
  SwapFrame saved;
  auto* words = reinterpret_cast<uint64_t*>(&saved);
  for (size_t i = 0; i < sizeof(saved) / sizeof(uint64_t); ++i) {
    if (!stack.word(place + i * sizeof(uint64_t), &words[i])) return;
  }
  UnwindStart start;
  start.rip = saved.rip;
  start.rsp = place + sizeof(saved);
  start.rbp = saved.rbp;
  start.rbx = saved.rbx;
  start.r12 = saved.r12;
  start.r13 = saved.r13;
  start.r14 = saved.r14;
  start.r15 = saved.r15;
  if (start.rip != 0) walk_unguarded(start_of(start), &stack, frames, capacity, reached);
}

size_t Unwinder::walk_parked(const Coroutine* coroutine, uintptr_t* frames, size_t capacity) {
  if (capacity == 0) return 0;
  return guarded(
      [&](volatile size_t* reached) { walk_parked_unguarded(coroutine, frames, capacity, reached); });
}

size_t Unwinder::walk_frozen(const Coroutine* coroutine, uintptr_t* frames, size_t capacity) {
  ucontext_t context;
  constexpr size_t kRegistersEnd = offsetof(ucontext_t, uc_mcontext) + sizeof(mcontext_t::gregs);
  if (!read_memory(coroutine->frozen_context, &context, kRegistersEnd)) return 0;
  StackReader stack(coroutine);
  return walk(start_of_context(&context), &stack, frames, capacity);
}

}  // namespace coshim
