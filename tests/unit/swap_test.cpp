// preload/swap: SwapFrame against the assembly, what survives a switch, and what unwinders see of it. All
// contexts here share the test thread's FS base: a thread block of their own is the business of
// runtime/thread.
#include "preload/swap/swap.h"

#include <asm/prctl.h>
#include <fenv.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>
#include <xmmintrin.h>

#include <stdexcept>
#include <vector>

// Loads `in` into the callee-saved registers, swaps, and stores them in `out` when something has swapped
// back.
struct Registers {
  uint64_t rbx, rbp, r12, r13, r14, r15;
};
extern "C" void swap_with_registers(const Registers* in, Registers* out, void** save, void* load,
                                    uintptr_t fs_base, coshim::SwapFunction swap);
// What a function finds at its entry, before any compiler's prologue: notes the stack pointer, then goes on
// to `next`.
struct Entry {
  uintptr_t stack_pointer;
  void (*next)(void* argument, void* b, void* c);
  void* argument;
};
extern "C" void note_entry(void* entry);
extern "C" void note_entry_and_arguments(void* entry, void* b, void* c);
__asm__(R"(
        .text
        .type   note_entry, @function
        .type   note_entry_and_arguments, @function
note_entry:
note_entry_and_arguments:
        movq    %rsp, 0(%rdi)
        movq    8(%rdi), %rax
        movq    16(%rdi), %rdi
        jmpq    *%rax
        .size   note_entry, . - note_entry

        .type   swap_with_registers, @function
swap_with_registers:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        pushq   %rsi
        movq    %rdi, %rax
        movq    0(%rax), %rbx
        movq    8(%rax), %rbp
        movq    16(%rax), %r12
        movq    24(%rax), %r13
        movq    32(%rax), %r14
        movq    40(%rax), %r15
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        callq   *%r9
        popq    %rsi
        movq    %rbx, 0(%rsi)
        movq    %rbp, 8(%rsi)
        movq    %r12, 16(%rsi)
        movq    %r13, 24(%rsi)
        movq    %r14, 32(%rsi)
        movq    %r15, 40(%rsi)
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .size   swap_with_registers, . - swap_with_registers
)");

namespace coshim {
namespace {

static_assert(sizeof(SwapFrame) == 64);
static_assert(offsetof(SwapFrame, mxcsr) == 0);
static_assert(offsetof(SwapFrame, x87_control) == 4);
static_assert(offsetof(SwapFrame, r15) == 8);
static_assert(offsetof(SwapFrame, rip) == 56);

uintptr_t current_fs_base() {
  uintptr_t base = 0;
  EXPECT_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &base), 0);
  return base;
}

uint16_t x87_control() {
  uint16_t word;
  __asm__ volatile("fnstcw %0" : "=m"(word));
  return word;
}
void set_x87_control(uint16_t word) {
  __asm__ volatile("fldcw %0" : : "m"(word));
}

constexpr uint32_t kInitialMxcsr = 0x1f80;
constexpr uint16_t kInitialX87 = 0x037f;

Registers pattern(uint64_t seed) {
  return {seed ^ 0x1111, seed ^ 0x2222, seed ^ 0x3333, seed ^ 0x4444, seed ^ 0x5555, seed ^ 0x6666};
}
bool same(const Registers& a, const Registers& b) {
  return memcmp(&a, &b, sizeof(a)) == 0;
}

class Stack {
 public:
  Stack() : base_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    EXPECT_NE(base_, MAP_FAILED);
  }
  ~Stack() { munmap(base_, kSize); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  void* top() const { return static_cast<char*>(base_) + kSize; }
  bool holds(const void* address) const { return address >= base_ && address < top(); }

 private:
  static constexpr size_t kSize = 256 * 1024;
  void* base_;
};

// One coroutine beside the test: its stack, and where each side goes on.
class Pair {
 public:
  Pair(SwapFunction swap, void (*body)(Pair& pair)) : swap_(swap), body_(body), fs_base_(current_fs_base()) {
    // Something above the first frame that an unwinder would take for a return address.
    for (int i = 1; i <= 2; ++i)
      static_cast<void**>(stack_.top())[-i] = reinterpret_cast<void*>(&current_fs_base);
    other_ = swap_prepare(stack_.top(), &Pair::enter, this);
  }
  // In the test: run the coroutine until it calls leave().
  void resume() { swap_(&test_, other_, fs_base_); }
  void resume_with(const Registers& in, Registers* out) {
    swap_with_registers(&in, out, &test_, other_, fs_base_, swap_);
  }
  // In the coroutine: go back to the test.
  void leave() { swap_(&other_, test_, fs_base_); }
  void leave_with(const Registers& in, Registers* out) {
    swap_with_registers(&in, out, &other_, test_, fs_base_, swap_);
  }
  const SwapFrame& parked() const { return *static_cast<const SwapFrame*>(other_); }
  const Stack& stack() const { return stack_; }
  int entered = 0;
  void* data = nullptr;

 private:
  static void enter(void* argument) {
    Pair& pair = *static_cast<Pair*>(argument);
    ++pair.entered;
    pair.body_(pair);
    for (;;) pair.leave();
  }

  Stack stack_;
  SwapFunction swap_;
  void (*body_)(Pair&);
  uintptr_t fs_base_;
  void* test_ = nullptr;
  void* other_ = nullptr;
};

// Every test runs with both ways to load the FS base.
class SwapTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    bool by_instruction = strcmp(GetParam(), "ByInstruction") == 0;
    if (by_instruction && (getauxval(AT_HWCAP2) & 2) == 0) GTEST_SKIP() << "no user-mode wrfsbase here";
    swap_ = by_instruction ? &coshim_swap : &coshim_swap_by_system_call;
  }
  SwapFunction swap_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(FsBase, SwapTest, ::testing::Values("ByInstruction", "BySystemCall"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(SwapTest, TheFrameIsWhatTheAssemblyLeaves) {
  Pair pair(swap_, [](Pair& pair) {
    Registers in = pattern(0xabcdef0000000000), out{};
    _mm_setcsr(kInitialMxcsr | _MM_ROUND_DOWN);
    set_x87_control(0x0f7f);
    pair.leave_with(in, &out);
  });
  unsigned saved_mxcsr = _mm_getcsr();
  pair.resume();
  Registers expected = pattern(0xabcdef0000000000);
  const SwapFrame& frame = pair.parked();
  EXPECT_EQ(frame.mxcsr & 0x6000, _MM_ROUND_DOWN);
  EXPECT_EQ(frame.x87_control & 0xffff, 0x0f7fU);
  EXPECT_EQ(frame.rbx, expected.rbx);
  EXPECT_EQ(frame.rbp, expected.rbp);
  EXPECT_EQ(frame.r12, expected.r12);
  EXPECT_EQ(frame.r13, expected.r13);
  EXPECT_EQ(frame.r14, expected.r14);
  EXPECT_EQ(frame.r15, expected.r15);
  auto code = reinterpret_cast<uint64_t>(&swap_with_registers);
  EXPECT_GT(frame.rip, code);
  EXPECT_LT(frame.rip, code + 128);
  EXPECT_TRUE(pair.stack().holds(&frame));
  EXPECT_EQ(_mm_getcsr(), saved_mxcsr);
}

TEST(SwapPrepare, LaysTheFirstFrame) {
  Stack stack;
  int argument = 0;
  void (*entry)(void*) = [](void*) {};
  void* load = swap_prepare(stack.top(), entry, &argument);
  const auto& frame = *static_cast<SwapFrame*>(load);
  EXPECT_TRUE(stack.holds(load));
  EXPECT_TRUE(stack.holds(reinterpret_cast<const char*>(&frame + 1) - 1));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(load) % 16, 0U);
  EXPECT_EQ(frame.mxcsr, kInitialMxcsr);
  EXPECT_EQ(frame.x87_control, kInitialX87);
  EXPECT_EQ(frame.r12, reinterpret_cast<uint64_t>(entry));
  EXPECT_EQ(frame.r13, reinterpret_cast<uint64_t>(&argument));
  EXPECT_EQ(frame.rip, reinterpret_cast<uint64_t>(&coshim_swap_start));
}

TEST_P(SwapTest, EntersOnTheNewStackAligned) {
  struct Side {
    SwapFunction swap;
    uintptr_t fs_base;
    void* test;
    void* other;
  } side{swap_, current_fs_base(), nullptr, nullptr};
  auto go_back = [](void* argument, void*, void*) {
    auto& side = *static_cast<Side*>(argument);
    side.swap(&side.other, side.test, side.fs_base);
  };
  Entry entry{0, go_back, &side};
  Stack stack;
  swap_(&side.test, swap_prepare(stack.top(), note_entry, &entry), side.fs_base);
  EXPECT_TRUE(stack.holds(reinterpret_cast<void*>(entry.stack_pointer)));
  // System V ABI 3.2.2: aligned to 16 before the call has pushed its return address.
  EXPECT_EQ((entry.stack_pointer + 8) % 16, 0U);
}

TEST_P(SwapTest, PingPongKeepsTheCalleeSavedRegistersOfBothSides) {
  static constexpr int kRounds = 10000;
  static int coroutine_rounds, coroutine_wrong;
  coroutine_rounds = coroutine_wrong = 0;
  Pair pair(swap_, [](Pair& pair) {
    for (;; ++coroutine_rounds) {
      Registers in = pattern(0xc000000000000000U + static_cast<uint64_t>(coroutine_rounds) * 0x10000), out{};
      pair.leave_with(in, &out);
      if (!same(in, out)) ++coroutine_wrong;
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    Registers in = pattern(0x7000000000000000U + static_cast<uint64_t>(round) * 0x10000), out{};
    pair.resume_with(in, &out);
    ASSERT_TRUE(same(in, out)) << round;
  }
  EXPECT_EQ(coroutine_rounds, kRounds - 1);
  EXPECT_EQ(coroutine_wrong, 0);
  EXPECT_EQ(pair.entered, 1);
}

TEST_P(SwapTest, FloatingPointControlIsEachContextsOwn) {
  struct Seen {
    unsigned first_mxcsr, later_mxcsr;
    uint16_t first_x87, later_x87;
    double up;
  };
  static Seen seen;
  seen = {};
  Pair pair(swap_, [](Pair& pair) {
    seen.first_mxcsr = _mm_getcsr();
    seen.first_x87 = x87_control();
    fesetround(FE_UPWARD);  // sets both
    pair.leave();
    seen.later_mxcsr = _mm_getcsr();
    seen.later_x87 = x87_control();
    volatile double one = 1, three = 3;
    seen.up = one / three;
  });
  unsigned saved_mxcsr = _mm_getcsr();
  uint16_t saved_x87 = x87_control();
  fesetround(FE_TOWARDZERO);
  unsigned test_mxcsr = _mm_getcsr() & 0x6000;
  uint16_t test_x87 = x87_control();

  pair.resume();
  unsigned mxcsr_after_first = _mm_getcsr() & 0x6000;
  uint16_t x87_after_first = x87_control();
  pair.resume();
  volatile double one = 1, three = 3;
  double down = one / three;
  unsigned mxcsr_after_second = _mm_getcsr() & 0x6000;
  uint16_t x87_after_second = x87_control();
  set_x87_control(saved_x87);
  _mm_setcsr(saved_mxcsr);

  EXPECT_EQ(test_mxcsr, static_cast<unsigned>(_MM_ROUND_TOWARD_ZERO));
  EXPECT_EQ(mxcsr_after_first, test_mxcsr);
  EXPECT_EQ(mxcsr_after_second, test_mxcsr);
  EXPECT_EQ(x87_after_first, test_x87);
  EXPECT_EQ(x87_after_second, test_x87);
  EXPECT_EQ(seen.first_mxcsr, kInitialMxcsr);  // the ABI's, not the creator's
  EXPECT_EQ(seen.first_x87, kInitialX87);
  EXPECT_EQ(seen.later_mxcsr & 0x6000, static_cast<unsigned>(_MM_ROUND_UP));
  EXPECT_EQ(seen.later_x87 & 0x0c00, 0x0800);  // round up
  EXPECT_GT(seen.up, down);
}

TEST_P(SwapTest, TheFsBaseStaysAsPassed) {
  static thread_local int local;
  static const int* seen;
  seen = nullptr;
  Pair pair(swap_, [](Pair&) { seen = &local; });
  uintptr_t before = current_fs_base();
  pair.resume();
  EXPECT_EQ(current_fs_base(), before);
  EXPECT_EQ(seen, &local);
}

// Thrown before and caught after switches, while the other side does the same: nothing of it is on the wrong
// stack.
TEST_P(SwapTest, ExceptionsStayOnTheirStack) {
  static int caught;
  caught = 0;
  Pair pair(swap_, [](Pair& pair) {
    for (;;) {
      try {
        pair.leave();
        throw std::runtime_error("coroutine");
      } catch (const std::runtime_error& error) {
        if (strcmp(error.what(), "coroutine") == 0) ++caught;
      }
    }
  });
  pair.resume();
  for (int round = 0; round < 100; ++round) {
    try {
      pair.resume();
      throw std::runtime_error("test");
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "test");
    }
  }
  EXPECT_EQ(caught, 100);
}

// ---- unwinding

struct Trace {
  static constexpr int kMaximum = 64;
  uintptr_t address[kMaximum];
  int count = 0;
  _Unwind_Reason_Code result = _URC_NO_REASON;

  template <typename Function>
  bool passes(Function* function) const {
    for (int i = 0; i < count; ++i) {
      void* enclosing = _Unwind_FindEnclosingFunction(reinterpret_cast<void*>(address[i] - 1));
      if (enclosing == reinterpret_cast<void*>(function)) return true;
    }
    return false;
  }
};

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void* argument) {
  auto& trace = *static_cast<Trace*>(argument);
  // Some unwinders report the end as one more frame at address 0.
  uintptr_t address = _Unwind_GetIP(context);
  if (address == 0) return _URC_NO_REASON;
  if (trace.count == Trace::kMaximum) return _URC_END_OF_STACK;  // runs away: seen by the count
  trace.address[trace.count++] = address;
  return _URC_NO_REASON;
}

__attribute__((noinline)) void take_trace(Trace& trace) {
  trace.result = _Unwind_Backtrace(add_frame, &trace);
}

// The address after the first frame's call: where the `ud2` stands.
void expect_end_at_swap_start(const Trace& trace) {
  auto start = reinterpret_cast<uintptr_t>(&coshim_swap_start);
  ASSERT_GT(trace.count, 0);
  ASSERT_LT(trace.count, Trace::kMaximum);
  EXPECT_EQ(trace.result, _URC_END_OF_STACK);
  uintptr_t last = trace.address[trace.count - 1];
  EXPECT_GE(last, start);
  EXPECT_LE(last, start + 16);
}

__attribute__((noinline)) void outer_function(Pair& pair);
__attribute__((noinline)) void inner_function(Trace& trace) {
  take_trace(trace);
  __asm__ volatile("" ::: "memory");  // no tail call
}
__attribute__((noinline)) void outer_function(Pair& pair) {
  inner_function(*static_cast<Trace*>(pair.data));
  __asm__ volatile("" ::: "memory");
}

TEST_P(SwapTest, ABacktraceEndsAtTheFirstFrame) {
  Trace trace;
  Pair pair(swap_, outer_function);
  pair.data = &trace;
  pair.resume();
  expect_end_at_swap_start(trace);
  EXPECT_EQ(trace.address[trace.count - 1], reinterpret_cast<uintptr_t>(&coshim_swap_start) + 8);
  EXPECT_EQ(memcmp(reinterpret_cast<const void*>(trace.address[trace.count - 1]), "\x0f\x0b", 2), 0);  // ud2
  EXPECT_TRUE(trace.passes(&inner_function));
  EXPECT_TRUE(trace.passes(&outer_function));
  EXPECT_GE(trace.count, 4);  // take_trace, inner, outer, enter, start
}

// The call frame information holds at every instruction of the switch: step through one in each direction and
// unwind at each stop. The walk must reach one of the two ends: the test's caller or the first frame.
struct Step {
  uintptr_t at;
  Trace trace;
};
std::vector<Step>* g_steps;
uintptr_t g_code_start, g_code_end;

void on_trap(int, siginfo_t*, void* context) {
  auto at = static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (at < g_code_start || at >= g_code_end || g_steps->size() == g_steps->capacity()) return;
  g_steps->push_back({at, {}});
  take_trace(g_steps->back().trace);
}

__attribute__((noinline)) void stepped_resume(Pair& pair) {
  __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
  pair.resume();
  pair.resume();
  __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

TEST_P(SwapTest, UnwindersWalkThroughEveryInstruction) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's own code is not made to be stepped through";
#endif
  std::vector<Step> steps;
  steps.reserve(512);
  g_steps = &steps;
  g_code_start = reinterpret_cast<uintptr_t>(swap_);
  g_code_end = g_code_start + 96;  // both switches are shorter; what follows is never stepped into from here
  if (swap_ == &coshim_swap) g_code_end = reinterpret_cast<uintptr_t>(&coshim_swap_by_system_call);
  Pair pair(swap_, [](Pair& pair) { pair.leave(); });
  struct sigaction action {
  }, saved{};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO;
  Trace warm_up;
  take_trace(warm_up);  // the unwinder's first use allocates
  ASSERT_EQ(sigaction(SIGTRAP, &action, &saved), 0);
  stepped_resume(pair);
  ASSERT_EQ(sigaction(SIGTRAP, &saved, nullptr), 0);

  ASSERT_GT(steps.size(), 3U * 20);  // there, back, there, back
  ASSERT_LT(steps.size(), steps.capacity());
  auto start = reinterpret_cast<uintptr_t>(&coshim_swap_start);
  int ended_in_coroutine = 0, ended_in_test = 0;
  for (const Step& step : steps) {
    const Trace& trace = step.trace;
    ASSERT_GT(trace.count, 2);
    ASSERT_LT(trace.count, Trace::kMaximum) << "runs away at +" << step.at - g_code_start;
    EXPECT_EQ(trace.result, _URC_END_OF_STACK) << "at +" << step.at - g_code_start;
    uintptr_t last = trace.address[trace.count - 1];
    bool in_test = trace.passes(&stepped_resume);
    bool in_coroutine = last >= start && last <= start + 16;
    EXPECT_NE(in_test, in_coroutine) << "at +" << step.at - g_code_start;
    ended_in_test += in_test ? 1 : 0;
    ended_in_coroutine += in_coroutine ? 1 : 0;
  }
  EXPECT_GT(ended_in_test, 20);
  EXPECT_GT(ended_in_coroutine, 20);
}

// ---- coshim_call_on_stack

struct Arguments {
  void *a, *b, *c;
};

TEST(CallOnStack, PassesItsArgumentsAndComesBack) {
  Arguments seen{};
  auto keep = [](void* a, void* b, void* c) { *static_cast<Arguments*>(a) = {a, b, c}; };
  Entry entry{0, keep, &seen};
  int b = 0, c = 0;
  Stack stack;
  // Not aligned: the function sees to that.
  coshim_call_on_stack(static_cast<char*>(stack.top()) - 8, note_entry_and_arguments, &entry, &b, &c);
  EXPECT_EQ(seen.a, &seen);
  EXPECT_EQ(seen.b, &b);
  EXPECT_EQ(seen.c, &c);
  EXPECT_TRUE(stack.holds(reinterpret_cast<void*>(entry.stack_pointer)));
  EXPECT_EQ((entry.stack_pointer + 8) % 16, 0U);
}

__attribute__((noinline)) void call_for_trace(Stack& stack, Trace& trace) {
  coshim_call_on_stack(
      stack.top(), [](void* a, void*, void*) { take_trace(*static_cast<Trace*>(a)); }, &trace, nullptr,
      nullptr);
  __asm__ volatile("" ::: "memory");
}

TEST(CallOnStack, ABacktraceReachesTheCaller) {
  Stack stack;
  Trace trace;
  call_for_trace(stack, trace);
  EXPECT_TRUE(trace.passes(&call_for_trace));
  EXPECT_EQ(trace.result, _URC_END_OF_STACK);
  EXPECT_LT(trace.count, Trace::kMaximum);
}

}  // namespace
}  // namespace coshim
