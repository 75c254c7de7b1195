// Shared stacks without a scheduler: who may stand on one, what is copied, and the switch through another
// stack.
#include "runtime/stack/shared_stack.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <string.h>

#include <memory>
#include <set>
#include <vector>

#include "preload/swap/copy.h"
#include "preload/swap/swap.h"
#include "runtime/stack/save_area.h"
#include "runtime/stack/tls_slot.h"
#include "runtime/thread/tcb.h"

namespace coshim {
namespace {

constexpr size_t kStack = 64 * 1024, kGuard = 4096;

class SharedStackTest : public testing::Test {
 protected:
  void SetUp() override { shared_stacks_start(2); }
  void TearDown() override {
    for (auto& coroutine : coroutines_) {
      if (coroutine->shared_stack == nullptr) continue;
      SharedStack* stack = coroutine->shared_stack;
      if (stack->occupant == coroutine.get()) stack->occupant = nullptr;
      leave_shared_stack(coroutine.get());
    }
    g_shared_stacks = false;
  }
  // Each test uses a stack size of its own, and so stacks of its own.
  Coroutine* bound(size_t stack_size) {
    coroutines_.push_back(std::make_unique<Coroutine>());
    Coroutine* coroutine = coroutines_.back().get();
    coroutine->shared_stack = bind_shared_stack(stack_size, kGuard);
    return coroutine;
  }
  Coroutine* on(SharedStack* stack) {
    coroutines_.push_back(std::make_unique<Coroutine>());
    Coroutine* coroutine = coroutines_.back().get();
    coroutine->shared_stack = stack;
    stack->owners.fetch_add(1);
    return coroutine;
  }
  std::vector<std::unique_ptr<Coroutine>> coroutines_;
};

TEST_F(SharedStackTest, NewOnesGoToTheStackWithTheFewestOwners) {
  std::multiset<SharedStack*> stacks;
  for (int i = 0; i < 6; ++i) stacks.insert(bound(kStack)->shared_stack);
  std::set<SharedStack*> different(stacks.begin(), stacks.end());
  ASSERT_EQ(different.size(), 2u);
  for (SharedStack* stack : different) EXPECT_EQ(stacks.count(stack), 3u);
  leave_shared_stack(coroutines_[0].get());
  SharedStack* emptier = coroutines_[2]->shared_stack;
  EXPECT_EQ(bound(kStack)->shared_stack, emptier);
}

TEST_F(SharedStackTest, AStuckStackIsAvoidedAndWhereAllAreStuckThereIsANewOne) {
  SharedStack* first = bound(2 * kStack)->shared_stack;
  first->stuck = true;
  SharedStack* second = bound(2 * kStack)->shared_stack;
  EXPECT_NE(second, first);
  EXPECT_EQ(bound(2 * kStack)->shared_stack, second);
  second->stuck = true;
  SharedStack* third = bound(2 * kStack)->shared_stack;
  EXPECT_NE(third, first);
  EXPECT_NE(third, second);
}

TEST_F(SharedStackTest, StacksAreAsLargeAsAskedForAndGuarded) {
  SharedStack* stack = bound(5 * kStack)->shared_stack;
  EXPECT_GE(static_cast<size_t>(stack->top - stack->low), 5 * kStack - kGuard);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(stack->top) % 16, 0u);
  EXPECT_EQ(find_shared_stack(stack->low), stack);
  EXPECT_EQ(find_shared_stack(stack->low - 1), nullptr);
  memset(stack->low, 1, static_cast<size_t>(stack->top - stack->low));
  EXPECT_DEATH(*const_cast<volatile char*>(stack->low - 1) = 1, "");
}

TEST_F(SharedStackTest, WhoWaitsForAStackGetsItInTurn) {
  Coroutine* first = bound(3 * kStack);
  SharedStack* stack = first->shared_stack;
  Coroutine *second = on(stack), *third = on(stack);
  EXPECT_TRUE(claim_shared_stack(first));
  EXPECT_FALSE(claim_shared_stack(second));
  EXPECT_FALSE(claim_shared_stack(third));
  EXPECT_EQ(g_waiting_for_stacks.load(), 2u);
  EXPECT_EQ(release_shared_stack(stack), second);
  EXPECT_FALSE(claim_shared_stack(first)) << "it is kept for the second";
  EXPECT_TRUE(claim_shared_stack(second));
  EXPECT_EQ(release_shared_stack(stack), third);
  EXPECT_TRUE(claim_shared_stack(third));
  EXPECT_EQ(release_shared_stack(stack), first);
  EXPECT_EQ(release_shared_stack(stack), nullptr);
  EXPECT_EQ(g_waiting_for_stacks.load(), 0u);
}

TEST_F(SharedStackTest, BytesAreCopiedOnlyWhenAnotherNeedsTheStack) {
  Coroutine* a = bound(4 * kStack);
  SharedStack* stack = a->shared_stack;
  Coroutine* b = on(stack);
  auto live = [&](Coroutine* owner, size_t size) { owner->stack_pointer = stack->top - size; };
  // As if a had run and parked.
  ASSERT_TRUE(claim_shared_stack(a));
  stack->occupant = a;
  live(a, 1000);
  memset(a->stack_pointer, 'a', 1000);
  release_shared_stack(stack);
  ASSERT_TRUE(claim_shared_stack(a));
  ASSERT_TRUE(load_shared_stack(a, a->stack_pointer));
  EXPECT_EQ(a->saved_capacity, 0u) << "nobody needed the stack";
  release_shared_stack(stack);
  // b comes, deeper, then a again, with what it had.
  ASSERT_TRUE(claim_shared_stack(b));
  live(b, 0);
  ASSERT_TRUE(load_shared_stack(b, b->stack_pointer));
  EXPECT_EQ(a->saved_size, 1000u);
  live(b, 20000);
  memset(b->stack_pointer, 'b', 20000);
  release_shared_stack(stack);
  StackBytes where = shared_stack_bytes(a);
  EXPECT_EQ(where.address, reinterpret_cast<uintptr_t>(a->stack_pointer));
  EXPECT_EQ(where.bytes[999], 'a');
  ASSERT_TRUE(claim_shared_stack(a));
  ASSERT_TRUE(load_shared_stack(a, a->stack_pointer));
  EXPECT_EQ(std::string(static_cast<char*>(a->stack_pointer), 1000), std::string(1000, 'a'));
  EXPECT_EQ(b->saved_size, 20000u);
  release_shared_stack(stack);
  ASSERT_TRUE(claim_shared_stack(b));
  ASSERT_TRUE(load_shared_stack(b, b->stack_pointer));
  EXPECT_EQ(std::string(static_cast<char*>(b->stack_pointer), 20000), std::string(20000, 'b'));
  release_shared_stack(stack);
  // A shallow wait after a deep one gives the large area back.
  live(b, 100);
  ASSERT_TRUE(claim_shared_stack(a));
  ASSERT_TRUE(load_shared_stack(a, a->stack_pointer));
  EXPECT_EQ(b->saved_capacity, 100u);
  release_shared_stack(stack);
}

TEST(CopyStack, CopiesEverySizeAndNothingElse) {
  std::vector<unsigned char> from(10000), to(10000);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i * 7 + 1);
  for (size_t size : {0, 1, 63, 2047, 2048, 2049, 4096, 4097, 9998}) {
    std::fill(to.begin(), to.end(), 0);
    copy_stack(&to[1], &from[0], size);
    EXPECT_EQ(to[0], 0);
    EXPECT_EQ(memcmp(&to[1], &from[0], size), 0) << size;
    EXPECT_EQ(to[size + 1], 0) << size;
  }
}

TEST(TlsSlots, ArePackedAndReused) {
  TcbLayout before = g_tcb_layout;
  g_tcb_layout.pthread_size = 2304;
  g_tcb_layout.below = 1900;
  g_tcb_layout.alignment = 64;
  constexpr size_t kUnit = 1920 + 2304;
  std::set<char*> slots;
  for (int i = 0; i < 1000; ++i) {
    auto* tcb = static_cast<char*>(acquire_tls_slot());
    ASSERT_NE(tcb, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tcb) % 64, 0u);
    EXPECT_FALSE(tls_slot_used(tcb));
    memset(tcb - 1900, 1, 1900 + 2304);
    EXPECT_TRUE(slots.insert(tcb).second);
  }
  size_t adjacent = 0;
  for (char* slot : slots) adjacent += slots.count(slot + kUnit);
  EXPECT_GT(adjacent, 950u);
  release_tls_slot(*slots.begin());
  void* again = acquire_tls_slot();
  EXPECT_EQ(again, *slots.begin());
  EXPECT_TRUE(tls_slot_used(again));
  forget_tls_slot_use(again);
  EXPECT_FALSE(tls_slot_used(again));
  g_tcb_layout = before;
}

// Two contexts take turns on one stack: coshim_swap_through with an exchange that copies.
struct Turn {
  void* stack_pointer = nullptr;
  std::vector<char> saved;
};
struct Exchange {
  char* top;
  Turn* from;
  Turn* to;
  uintptr_t fs_base;
  uintptr_t stood_at;
};
Exchange g_exchange;
std::vector<int> g_seen;

coshim_swap_target exchange_turns(void* argument) {
  auto* exchange = static_cast<Exchange*>(argument);
  char here;
  exchange->stood_at = reinterpret_cast<uintptr_t>(&here);
  auto* low = static_cast<char*>(exchange->from->stack_pointer);
  exchange->from->saved.assign(low, exchange->top);
  memcpy(exchange->to->stack_pointer, exchange->to->saved.data(), exchange->to->saved.size());
  return {exchange->to->stack_pointer, exchange->fs_base};
}

Turn g_turns[2];
void* g_main;
alignas(16) char g_scratch[64 * 1024];

void take_turns(void* number) {
  volatile intptr_t me = reinterpret_cast<intptr_t>(number);
  volatile double precise = 1.5 + static_cast<double>(me);
  for (int i = 0; i < 3; ++i) {
    g_seen.push_back(static_cast<int>(me) * 10 + i);
    g_exchange.from = &g_turns[me];
    g_exchange.to = &g_turns[1 - me];
    g_swap_through(&g_turns[me].stack_pointer, g_scratch + sizeof(g_scratch), &exchange_turns, &g_exchange);
    if (precise != 1.5 + static_cast<double>(me)) g_seen.push_back(-1);
  }
  void* nowhere;
  g_swap(&nowhere, g_main, g_exchange.fs_base);
}

TEST(SwapThrough, CopiesStacksFromAnotherStack) {
  choose_swap();
  alignas(16) static char stack[64 * 1024];
  char* top = stack + sizeof(stack);
  g_exchange = Exchange{top, nullptr, nullptr, current_fs_base(), 0};
  for (intptr_t i : {1, 0}) {  // the first one's frame stays on the stack
    g_turns[i].stack_pointer = swap_prepare(top, &take_turns, reinterpret_cast<void*>(i));
    g_turns[i].saved.assign(static_cast<char*>(g_turns[i].stack_pointer), top);
  }
  g_seen.clear();
  g_swap(&g_main, g_turns[0].stack_pointer, g_exchange.fs_base);
  EXPECT_EQ(g_seen, (std::vector<int>{0, 10, 1, 11, 2, 12}));
  auto scratch = reinterpret_cast<uintptr_t>(g_scratch);
  EXPECT_GE(g_exchange.stood_at, scratch);
  EXPECT_LT(g_exchange.stood_at, scratch + sizeof(g_scratch));
}

}  // namespace
}  // namespace coshim
