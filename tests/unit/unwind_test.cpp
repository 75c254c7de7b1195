// runtime/diag's unwinder against libunwind: the same stacks walked by both, at every instruction of code of
// many kinds (the trap flag stops after each), in libc's waits and from the registers that a switch left.
// Every frame's return address and canonical frame address must be the same, and the end too.
//
// libunwind is loaded with dlopen(3), out of sight: linked, its _Unwind_* would take the place of libgcc_s's.
#define UNW_LOCAL_ONLY
#include <alloca.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <libunwind.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "preload/swap/swap.h"
#include "runtime/diag/backtrace.h"

namespace coshim {
namespace {

constexpr size_t kFrames = 200;
struct Walk {
  uintptr_t address[kFrames], frame[kFrames];
  size_t count;
};

struct LibUnwind {
  int (*init)(unw_cursor_t*, unw_context_t*, int) = nullptr;
  int (*step)(unw_cursor_t*) = nullptr;
  int (*get)(unw_cursor_t*, int, unw_word_t*) = nullptr;
  bool load() {
    void* library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return false;
#define COSHIM_TEXT(name) #name
#define COSHIM_NAME(name) COSHIM_TEXT(name)
    init = reinterpret_cast<decltype(init)>(dlsym(library, COSHIM_NAME(unw_init_local2)));
    step = reinterpret_cast<decltype(step)>(dlsym(library, COSHIM_NAME(unw_step)));
    get = reinterpret_cast<decltype(get)>(dlsym(library, COSHIM_NAME(unw_get_reg)));
    auto* space = static_cast<unw_addr_space_t*>(dlsym(library, COSHIM_NAME(unw_local_addr_space)));
    auto set_caching = reinterpret_cast<int (*)(unw_addr_space_t, unw_caching_policy_t)>(
        dlsym(library, COSHIM_NAME(unw_set_caching_policy)));
    if (space == nullptr || set_caching == nullptr) return false;
    // Its cache goes by address, and takes a landing pad for the return address that it also is.
    set_caching(*space, UNW_CACHE_NONE);
    return init != nullptr && step != nullptr && get != nullptr;
  }
  void walk(const ucontext_t* context, bool interrupted, Walk* walk) const {
    unw_cursor_t cursor;
    walk->count = 0;
    if (init(&cursor, const_cast<ucontext_t*>(context), interrupted ? UNW_INIT_SIGNAL_FRAME : 0) != 0) return;
    do {
      unw_word_t address = 0, stack_pointer = 0;
      get(&cursor, UNW_REG_IP, &address);
      get(&cursor, UNW_REG_SP, &stack_pointer);
      walk->address[walk->count] = address;
      walk->frame[walk->count++] = stack_pointer;
    } while (walk->count < kFrames && step(&cursor) > 0);
  }
};

LibUnwind g_libunwind;
Modules* g_modules;
Unwinder* g_unwinder;

void walk_ours(const ucontext_t* context, bool interrupted, Walk* walk) {
  StackReader stack(nullptr);
  Frame frame = start_of_context(context).frame;
  walk->count = 0;
  do {
    walk->address[walk->count] = frame.registers[kReturnAddress];
    walk->frame[walk->count++] = frame.registers[kRsp];
  } while (walk->count < kFrames && g_unwinder->step(&stack, &frame, &interrupted));
}

// Both go astray in the same places (between libgcc's switch to a landing pad's stack and the jump there,
// say); how they end in garbage is not compared.
void leave_code_only(Walk* walk) {
  size_t count = 0;
  while (count < walk->count && g_modules->find(walk->address[count]) != nullptr) ++count;
  walk->count = count;
}

// What the first comparison that failed saw; a signal handler can't report.
struct Comparison {
  size_t made, deepest;
  bool failed;
  Walk ours, theirs;
};
Comparison g_comparison;

void compare(const ucontext_t* context, bool interrupted) {
  static Walk ours, theirs;
  walk_ours(context, interrupted, &ours);
  g_libunwind.walk(context, interrupted, &theirs);
  leave_code_only(&ours);
  leave_code_only(&theirs);
  ++g_comparison.made;
  g_comparison.deepest = std::max(g_comparison.deepest, ours.count);
  bool same = ours.count == theirs.count &&
              memcmp(ours.address, theirs.address, ours.count * sizeof(uintptr_t)) == 0 &&
              memcmp(ours.frame, theirs.frame, ours.count * sizeof(uintptr_t)) == 0;
  if (same || g_comparison.failed) return;
  g_comparison.failed = true;
  g_comparison.ours = ours;
  g_comparison.theirs = theirs;
}

std::string text_of(const Walk& walk) {
  std::string text;
  for (size_t i = 0; i < walk.count; ++i) {
    Dl_info info{};
    dladdr(reinterpret_cast<void*>(walk.address[i]), &info);
    char line[400];
    snprintf(line, sizeof(line), "  %#lx sp %#lx %s (%s+%#lx)\n", walk.address[i], walk.frame[i],
             info.dli_sname != nullptr ? info.dli_sname : "?",
             info.dli_fname != nullptr ? info.dli_fname : "?",
             walk.address[i] - reinterpret_cast<uintptr_t>(info.dli_fbase));
    text += line;
  }
  return text;
}

void compare_in_handler(int, siginfo_t*, void* context) {
  compare(static_cast<ucontext_t*>(context), true);
}

// With the tables that its own pushes need.
extern "C" void set_trap_flag(unsigned flag);
__asm__(R"(
        .text
        .type   set_trap_flag, @function
set_trap_flag:
        .cfi_startproc
        pushfq
        .cfi_adjust_cfa_offset 8
        andq    $~0x100, (%rsp)
        orq     %rdi, (%rsp)
        popfq
        .cfi_adjust_cfa_offset -8
        ret
        .cfi_endproc
        .size   set_trap_flag, . - set_trap_flag
)");
constexpr unsigned kTrapFlag = 0x100;

class UnwindTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!g_libunwind.load()) GTEST_SKIP() << "libunwind.so.8 is not there";
    modules_ = std::make_unique<Modules>();
    unwinder_ = std::make_unique<Unwinder>(modules_.get());
    g_modules = modules_.get();
    g_unwinder = unwinder_.get();
    g_comparison = Comparison{};
  }
  void TearDown() override {
    if (g_comparison.failed) {
      ADD_FAILURE() << "ours:\n"
                    << text_of(g_comparison.ours) << "libunwind:\n"
                    << text_of(g_comparison.theirs);
    }
  }
  void handle(int signal) {
    struct sigaction action {};
    action.sa_sigaction = &compare_in_handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(signal, &action, nullptr);
  }
  // Compares after every instruction of `work`, which is called once before, so that it is warm.
  void at_every_instruction(void (*work)(), size_t at_least) {
    work();
    run_stepping(work);
    EXPECT_GE(g_comparison.made, at_least);
  }
  void run_stepping(void (*work)()) {
    handle(SIGTRAP);
    set_trap_flag(kTrapFlag);
    work();
    set_trap_flag(0);
    signal(SIGTRAP, SIG_DFL);
  }
  std::unique_ptr<Modules> modules_;
  std::unique_ptr<Unwinder> unwinder_;
};

volatile long g_sink;
#define COSHIM_OUT_OF_LINE __attribute__((noipa))

COSHIM_OUT_OF_LINE long leaf(long a) {
  return a * 3 + 1;
}
__attribute__((noipa, optimize("no-omit-frame-pointer"))) long with_frame_pointer(long a) {
  long value = leaf(a) + leaf(a + 1);
  return value + leaf(value);
}
__attribute__((noipa, optimize("omit-frame-pointer"))) long without_frame_pointer(long a) {
  volatile long many[20];
  for (int i = 0; i < 20; ++i) many[i] = leaf(a + i);
  return many[3] + with_frame_pointer(many[4]);
}
COSHIM_OUT_OF_LINE long with_alloca(long a) {
  auto* room = static_cast<volatile char*>(alloca(static_cast<size_t>(a % 7 + 1) * 48));
  room[0] = static_cast<char>(a);
  return leaf(room[0]) + with_frame_pointer(a);
}
COSHIM_OUT_OF_LINE long realigned(long a) {
  struct alignas(64) Wide {
    volatile long values[8];
  } wide;
  for (int i = 0; i < 8; ++i) wide.values[i] = a + i;
  auto* room = static_cast<volatile char*>(alloca(static_cast<size_t>(a % 5 + 1) * 32));
  room[0] = 1;
  return leaf(wide.values[3]) + room[0];
}
COSHIM_OUT_OF_LINE long many_arguments(long a, long b, long c, long d, long e, long f, long g, long h,
                                       long i) {
  return leaf(a + b + c + d + e + f + g + h + i);
}
COSHIM_OUT_OF_LINE long recursion(int depth, long a) {
  volatile long value = depth == 0 ? leaf(a) : recursion(depth - 1, a + depth);
  return value + (depth % 2 != 0 ? leaf(value) : 0);
}
struct Counted {
  explicit Counted(const char* text) : text(text) {}
  ~Counted() { g_sink = g_sink + static_cast<long>(text.size()); }
  std::string text;
};
COSHIM_OUT_OF_LINE long throws(int depth) {
  Counted counted("on the way out");
  if (depth == 0) throw std::runtime_error("out");
  return throws(depth - 1) + static_cast<long>(counted.text.size());
}

TEST_F(UnwindTest, LeafAndFrameKinds) {
  at_every_instruction(
      [] {
        g_sink = without_frame_pointer(3) + with_alloca(5) + realigned(4) +
                 many_arguments(1, 2, 3, 4, 5, 6, 7, 8, 9);
      },
      200);
}

TEST_F(UnwindTest, DeepRecursion) {
  at_every_instruction([] { g_sink = recursion(60, 1); }, 500);
  EXPECT_GT(g_comparison.deepest, 60U);
}

TEST_F(UnwindTest, Exceptions) {
  at_every_instruction(
      [] {
        try {
          throws(3);
        } catch (const std::exception& error) {
          g_sink = g_sink + error.what()[0];
        }
      },
      5000);
}

TEST_F(UnwindTest, CallbacksFromLibc) {
  at_every_instruction(
      [] {
        int numbers[] = {5, 3, 9, 1, 7};
        qsort(numbers, 5, sizeof(int), [](const void* a, const void* b) {
          return static_cast<int>(leaf(*static_cast<const int*>(a) - *static_cast<const int*>(b)));
        });
        char text[100];
        snprintf(text, sizeof(text), "%d %s %.3f", numbers[0], "words", 3.5);
        std::function<long(long)> function = [&](long a) { return leaf(a + text[0]); };
        g_sink = function(2);
      },
      1000);
}

// Through the PLT for the first time: the dynamic linker looks the symbol up.
TEST_F(UnwindTest, LazyBinding) {
  run_stepping([] { g_sink = static_cast<long>(strtoul("77", nullptr, 8)) + abs(atoi("-3")); });
  EXPECT_GT(g_comparison.made, 50U);
}

// The handler's own code, on top of the kernel's frame, on top of what was interrupted.
TEST_F(UnwindTest, SignalFrames) {
  static stack_t alternate;
  alternate.ss_size = 256 * 1024;
  alternate.ss_sp = malloc(alternate.ss_size);
  for (bool on_alternate_stack : {false, true}) {
    struct sigaction action {};
    action.sa_handler = [](int) {
      set_trap_flag(kTrapFlag);
      g_sink = without_frame_pointer(7);
      set_trap_flag(0);
    };
    // libunwind's own stack is this test's too.
    action.sa_flags = on_alternate_stack ? SA_ONSTACK : 0;
    sigaltstack(&alternate, nullptr);
    sigaction(SIGUSR2, &action, nullptr);
    handle(SIGTRAP);
    size_t before = g_comparison.made;
    raise(SIGUSR2);
    EXPECT_GT(g_comparison.made, before + 100);
  }
  alternate.ss_flags = SS_DISABLE;
  sigaltstack(&alternate, nullptr);
}

// Threads that wait in libc, and one that computes, interrupted there.
TEST_F(UnwindTest, WaitsInLibc) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static sem_t semaphore;
  static int ends[2];
  sem_init(&semaphore, 0, 0);
  ASSERT_EQ(pipe(ends), 0);
  using Routine = void* (*)(void*);
  const Routine waits[] = {
      [](void*) -> void* {
        pthread_mutex_lock(&mutex);
        for (;;) pthread_cond_wait(&condition, &mutex);
      },
      [](void*) -> void* {
        for (;;) sem_wait(&semaphore);
      },
      [](void*) -> void* {
        for (;;) sleep(1000);
      },
      [](void*) -> void* {
        char byte;
        for (;;) g_sink = read(ends[0], &byte, 1);
      },
      [](void*) -> void* {
        pollfd one{ends[0], POLLIN, 0};
        for (;;) poll(&one, 1, -1);
      },
      [](void*) -> void* {
        for (;;) g_sink = without_frame_pointer(g_sink) + with_alloca(3);
      },
  };
  handle(SIGUSR1);
  std::vector<pthread_t> threads;
  for (Routine routine : waits) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, routine, nullptr), 0);
    threads.push_back(thread);
  }
  usleep(50000);
  for (int round = 0; round < 100; ++round) {
    for (pthread_t thread : threads) {  // one at a time: the comparison is one
      size_t before = g_comparison.made;
      pthread_kill(thread, SIGUSR1);
      while (static_cast<volatile Comparison&>(g_comparison).made == before) usleep(100);
    }
  }
  for (pthread_t thread : threads) {
    pthread_cancel(thread);
  }
  // Some of them never come to a cancellation point: the process's end takes them.
}

void* g_main_context;
void* g_parked;
COSHIM_OUT_OF_LINE long park_here(int depth) {
  volatile long room[10] = {depth};
  if (depth > 0) return park_here(depth - 1) + room[0];
  uintptr_t fs_base = 0;
  __asm__("movq %%fs:0, %0" : "=r"(fs_base));
  coshim_swap(&g_parked, g_main_context, fs_base);
  return room[0];
}

// What the dump does with a parked coroutine.
TEST_F(UnwindTest, ParkedContext) {
  alignas(16) static char stack[65536];
  void* fresh = swap_prepare(
      stack + sizeof(stack), [](void*) { g_sink = park_here(12); }, nullptr);
  uintptr_t fs_base = 0;
  __asm__("movq %%fs:0, %0" : "=r"(fs_base));
  coshim_swap(&g_main_context, fresh, fs_base);
  const auto* saved = static_cast<const SwapFrame*>(g_parked);
  ucontext_t context{};
  greg_t* r = context.uc_mcontext.gregs;
  r[REG_RIP] = static_cast<greg_t>(saved->rip);
  r[REG_RSP] = reinterpret_cast<greg_t>(saved + 1);
  r[REG_RBP] = static_cast<greg_t>(saved->rbp);
  r[REG_RBX] = static_cast<greg_t>(saved->rbx);
  r[REG_R12] = static_cast<greg_t>(saved->r12);
  r[REG_R13] = static_cast<greg_t>(saved->r13);
  r[REG_R14] = static_cast<greg_t>(saved->r14);
  r[REG_R15] = static_cast<greg_t>(saved->r15);
  compare(&context, false);
  EXPECT_GE(g_comparison.deepest, 14U);
}

}  // namespace
}  // namespace coshim
