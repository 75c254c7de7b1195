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

Frame first_frame(const UnwindStart& start) {
  Frame frame{};
  frame.registers[kReturnAddress] = start.rip;
  frame.registers[kRsp] = start.rsp;
  frame.registers[kRbp] = start.rbp;
  frame.registers[kRbx] = start.rbx;
  frame.registers[kR12] = start.r12;
  frame.registers[kR12 + 1] = start.r13;
  frame.registers[kR12 + 2] = start.r14;
  frame.registers[kR12 + 3] = start.r15;
  frame.known = 1U << kReturnAddress | 1U << kRsp | (start.pointers_only ? 0 : kAllPreserved);
  return frame;
}

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
__attribute__((noinline)) size_t Unwinder::walk_unguarded(const UnwindStart& start, StackReader* stack,
                                                          uintptr_t* frames, size_t capacity,
                                                          volatile size_t* reached) {
  Frame frame = first_frame(start);
  bool interrupted = start.interrupted;
  frames[0] = start.rip;
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

size_t Unwinder::walk(const UnwindStart& start, StackReader* stack, uintptr_t* frames, size_t capacity) {
  if (start.rip == 0 || capacity == 0) return 0;
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
  if (start.rip != 0) walk_unguarded(start, &stack, frames, capacity, reached);
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
