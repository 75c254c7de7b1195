// The parking lot with kernel threads alone: they park on a futex, coroutines switch away; the lot can't
// tell.
#include "runtime/wait/parking_lot.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace coshim {
namespace {

constexpr Nanoseconds kMillisecond = 1000000;
constexpr Nanoseconds kLong = 20000 * kMillisecond;

void wait_until(const std::atomic<int>& value, int wanted) {
  while (value.load() != wanted) std::this_thread::yield();
}

// Exact, where lot_has_waiters may be wrong.
bool waits(const void* address) {
  uint32_t word = 0, value = 0;
  return lot_look(address, &word, &value) != 0;
}

// Threads that queue in the order in which they are made, and note the order in which they are woken.
class Queue {
 public:
  ~Queue() { join(); }
  void add(const void* address, uintptr_t detail = ~uintptr_t{0}, Nanoseconds deadline = kForever) {
    int number = static_cast<int>(threads_.size());
    threads_.emplace_back([this, number, address, detail, deadline] {
      LotWaiter waiter(address, WaitKind::futex, detail);
      waiter.enqueue();
      ++queued;
      WaitResult result = waiter.wait(deadline);
      if (result == WaitResult::woken) {
        order[places_++] = number;
        ++woken;  // only now: who sees it reads the order
      }
      if (result == WaitResult::timed_out) ++timed_out;
    });
    wait_until(queued, number + 1);
  }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::atomic<int> queued{0}, woken{0}, timed_out{0};
  std::atomic<int> order[64] = {};

 private:
  std::atomic<int> places_{0};
  std::vector<std::thread> threads_;
};

TEST(ParkingLot, NobodyWaits) {
  int object = 0;
  EXPECT_FALSE(lot_has_waiters(&object));
  EXPECT_EQ(lot_wake(&object, INT_MAX), 0);
  EXPECT_FALSE(waits(&object));
}

TEST(ParkingLot, WakesTheOldestFirst) {
  int object = 0;
  Queue queue;
  for (int i = 0; i < 10; ++i) queue.add(&object);
  EXPECT_TRUE(lot_has_waiters(&object));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(lot_wake(&object, 1), 1);
    wait_until(queue.woken, i + 1);
    EXPECT_EQ(queue.order[i].load(), i);
  }
  EXPECT_FALSE(lot_has_waiters(&object));
}

TEST(ParkingLot, WakesAtMostAsManyAsAsked) {
  int object = 0;
  Queue queue;
  for (int i = 0; i < 7; ++i) queue.add(&object);
  EXPECT_EQ(lot_wake(&object, 0), 0);
  EXPECT_EQ(lot_wake(&object, 3), 3);
  wait_until(queue.woken, 3);
  EXPECT_EQ(lot_wake(&object, 100), 4);
}

TEST(ParkingLot, WakesOnlyWhomTheMaskNames) {
  int object = 0;
  Queue queue;
  for (uintptr_t detail : {1, 2, 3, 4}) queue.add(&object, detail);
  EXPECT_EQ(lot_wake(&object, INT_MAX, 2), 2);
  wait_until(queue.woken, 2);
  EXPECT_EQ(queue.order[0] + queue.order[1], 1 + 2);
  EXPECT_EQ(lot_wake(&object, INT_MAX, 8), 0);
  EXPECT_EQ(lot_wake(&object, INT_MAX), 2);
}

TEST(ParkingLot, WakesOnlyThisAddress) {
  int objects[2] = {};
  Queue first, second;
  first.add(&objects[0]);
  second.add(&objects[1]);
  EXPECT_EQ(lot_wake(&objects[1], INT_MAX), 1);
  second.join();
  EXPECT_EQ(first.woken, 0);
  EXPECT_EQ(lot_wake(&objects[0], INT_MAX), 1);
}

TEST(ParkingLot, ATimedOutWaiterIsOffTheQueue) {
  int object = 0;
  Queue queue;
  queue.add(&object, 1, deadline_after(20 * kMillisecond));
  queue.add(&object, 1, monotonic_now() - 1);
  queue.join();
  EXPECT_EQ(queue.timed_out, 2);
  EXPECT_FALSE(lot_has_waiters(&object));
  EXPECT_EQ(lot_wake(&object, 1), 0);
}

TEST(ParkingLot, AWakeUpThatIsNotUsedIsPassedOn) {
  int object = 0;
  Queue queue;
  {
    LotWaiter waiter(&object, WaitKind::futex);
    waiter.enqueue();
    queue.add(&object);
    EXPECT_EQ(lot_wake(&object, 1), 1);  // ours, the oldest
    EXPECT_EQ(queue.woken, 0);
  }
  queue.join();
  EXPECT_EQ(queue.woken, 1);
}

TEST(ParkingLot, LeavingConsumesAWakeUp) {
  int object = 0;
  Queue queue;
  LotWaiter waiter(&object, WaitKind::futex);
  waiter.enqueue();
  queue.add(&object);
  EXPECT_EQ(lot_wake(&object, 1), 1);
  EXPECT_TRUE(waiter.leave());
  EXPECT_FALSE(waiter.leave());
  waiter.enqueue();
  EXPECT_FALSE(waiter.leave());
  EXPECT_EQ(queue.woken, 0);
  EXPECT_EQ(lot_wake(&object, INT_MAX), 1);
}

TEST(ParkingLot, AWaiterWokenInVainGoesToTheFront) {
  int object = 0;
  Queue queue;
  LotWaiter waiter(&object, WaitKind::futex);
  waiter.enqueue();
  queue.add(&object);
  EXPECT_EQ(lot_wake(&object, 1), 1);
  EXPECT_EQ(waiter.wait(kForever), WaitResult::woken);
  waiter.enqueue();
  EXPECT_EQ(lot_wake(&object, 1), 1);
  EXPECT_EQ(waiter.wait(kForever), WaitResult::woken);
  EXPECT_EQ(queue.woken, 0);
  EXPECT_EQ(lot_wake(&object, 1), 1);
}

TEST(ParkingLot, QueuesOnlyIfTheWordIsAsExpected) {
  uint32_t word = 7;
  LotWaiter waiter(&word, WaitKind::futex);
  EXPECT_FALSE(waiter.enqueue_if(&word, 8));
  EXPECT_FALSE(lot_has_waiters(&word));
  EXPECT_FALSE(waiter.leave());
  EXPECT_TRUE(waiter.enqueue_if(&word, 7));
  EXPECT_TRUE(lot_has_waiters(&word));
  EXPECT_EQ(lot_wake(&word, 1), 1);
  EXPECT_EQ(waiter.wait(kForever), WaitResult::woken);
}

TEST(ParkingLot, AnInterruptedWaiterKeepsItsPlace) {
  int object = 0;
  LotWaiter waiter(&object, WaitKind::futex);
  waiter.enqueue();
  current_thread()->interrupts.store(kInterruptCancel);
  EXPECT_EQ(waiter.wait(deadline_after(20 * kMillisecond)), WaitResult::timed_out);  // not asked for
  waiter.enqueue();
  EXPECT_EQ(waiter.wait(kForever, true), WaitResult::interrupted);
  current_thread()->interrupts.store(0);
  EXPECT_EQ(lot_wake(&object, 1), 1);
  EXPECT_EQ(waiter.wait(kForever, true), WaitResult::woken);
}

TEST(ParkingLot, AnInterruptEndsAWait) {
  int object = 0;
  Thread* self = current_thread();
  std::thread other([&] {
    while (!lot_has_waiters(&object)) std::this_thread::yield();
    self->interrupts.fetch_or(kInterruptCancel);
    unpark(self);
  });
  LotWaiter waiter(&object, WaitKind::futex);
  waiter.enqueue();
  EXPECT_EQ(waiter.wait(kForever, true), WaitResult::interrupted);
  self->interrupts.store(0);
  other.join();
}

TEST(ParkingLot, RequeueWakesSomeAndMovesSome) {
  uint32_t from = 5, to = 0;
  Queue queue;
  for (int i = 0; i < 6; ++i) queue.add(&from);
  uint32_t wrong = 6, right = 5;
  int moved = -1;
  EXPECT_EQ(lot_requeue(&from, 1, &to, 3, &wrong, &moved), -EAGAIN);
  EXPECT_EQ(moved, 0);
  EXPECT_EQ(lot_requeue(&from, 1, &to, 3, &right, &moved), 4);
  EXPECT_EQ(moved, 3);
  wait_until(queue.woken, 1);
  EXPECT_EQ(lot_wake(&to, INT_MAX), 3);
  wait_until(queue.woken, 4);
  EXPECT_EQ(lot_wake(&from, INT_MAX), 2);
  queue.join();
  EXPECT_FALSE(lot_has_waiters(&from));
  EXPECT_FALSE(lot_has_waiters(&to));
}

TEST(ParkingLot, RequeueToTheSameAddressMovesNobody) {
  uint32_t word = 0;
  Queue queue;
  for (int i = 0; i < 3; ++i) queue.add(&word);
  int moved = 0;
  EXPECT_EQ(lot_requeue(&word, 1, &word, INT_MAX, nullptr, &moved), 3);
  wait_until(queue.woken, 1);
  EXPECT_EQ(lot_wake(&word, INT_MAX), 2);
}

TEST(ParkingLot, AMovedWaiterCanTimeOut) {
  uint32_t from = 0, to = 0;
  Queue queue;
  queue.add(&from, 1, deadline_after(100 * kMillisecond));
  int moved = 0;
  lot_requeue(&from, 0, &to, 1, nullptr, &moved);
  EXPECT_EQ(moved, 1);
  queue.join();
  EXPECT_EQ(queue.timed_out, 1);
  EXPECT_FALSE(lot_has_waiters(&from));
  EXPECT_FALSE(lot_has_waiters(&to));
}

TEST(ParkingLot, BroadcastWakesOneAndMovesTheOthersToTheirMutex) {
  int condition = 0;
  alignas(8) char mutex[8], other_mutex[8];
  Queue queue;
  for (int i = 0; i < 5; ++i) queue.add(&condition, reinterpret_cast<uintptr_t>(mutex));
  queue.add(&condition, reinterpret_cast<uintptr_t>(other_mutex));
  lot_broadcast(&condition);
  wait_until(queue.woken, 2);  // the oldest, and the one with another mutex
  EXPECT_FALSE(lot_has_waiters(&condition));
  EXPECT_FALSE(lot_has_waiters(other_mutex));
  EXPECT_EQ(lot_wake(mutex, INT_MAX), 4);
}

TEST(ParkingLot, BroadcastWakesAllWhoCannotBeMoved) {
  int condition = 0;
  Queue queue;
  for (int i = 0; i < 5; ++i) queue.add(&condition, 1);
  lot_broadcast(&condition);
  queue.join();
  EXPECT_EQ(queue.woken, 5);
}

TEST(ParkingLot, HandsOverToTheOldestIfItAsksForIt) {
  int object = 0;
  Thread* given = nullptr;
  auto give = [](void* context, Thread* to) { *static_cast<Thread**>(context) = to; };
  EXPECT_FALSE(lot_hand_over(&object, 1, 8, give, &given));
  LotWaiter waiter(&object, WaitKind::mutex, 2);
  waiter.enqueue();
  EXPECT_FALSE(lot_hand_over(&object, 1, 8, give, &given));
  waiter.leave();
  waiter.set_detail(2 | 1);
  waiter.enqueue();
  EXPECT_TRUE(lot_hand_over(&object, 1, 8, give, &given));
  EXPECT_EQ(given, current_thread());
  EXPECT_EQ(waiter.wait(kForever), WaitResult::woken);
  EXPECT_EQ(waiter.wake_detail(), 8U);
}

TEST(ParkingLot, LooksAtTheWordOnlyWhileSomebodyWaits) {
  uint32_t word = 42, value = 0;
  EXPECT_EQ(lot_look(&word, &word, &value), 0U);
  EXPECT_EQ(value, 0U);
  Queue queue;
  queue.add(&word, 1);
  queue.add(&word, 4);
  EXPECT_EQ(lot_look(&word, &word, &value), 5U);
  EXPECT_EQ(value, 42U);
  lot_wake(&word, INT_MAX);
}

// More waiters than a slot can count, then none.
TEST(ParkingLot, CountsPastItsCounters) {
  int object = 0;
  std::atomic<int> queued{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 400; ++i) {
    threads.emplace_back([&] {
      LotWaiter waiter(&object, WaitKind::futex);
      waiter.enqueue();
      ++queued;
      waiter.wait(kForever);
    });
  }
  wait_until(queued, 400);
  EXPECT_EQ(lot_wake(&object, 300), 300);
  EXPECT_TRUE(lot_has_waiters(&object));
  EXPECT_EQ(lot_wake(&object, INT_MAX), 100);
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(lot_has_waiters(&object));
}

TEST(ParkingLot, AWaiterHidesFewOtherAddresses) {
  std::vector<int> objects(100000);
  LotWaiter waiter(&objects[5000], WaitKind::futex);
  waiter.enqueue();
  int hidden = 0;
  for (int& object : objects) hidden += lot_has_waiters(&object) ? 1 : 0;
  EXPECT_GE(hidden, 1);
  EXPECT_LE(hidden, 20);
}

// A lock as the hooks make them, many threads, no lost wake-up (a hang) and no double entry.
TEST(ParkingLotStress, Lock) {
  std::atomic<uint32_t> word{0};
  long counter = 0;
  auto lock = [&] {
    if (word.exchange(1) == 0) return;
    LotWaiter waiter(&word, WaitKind::mutex);
    for (;;) {
      waiter.enqueue();
      if (word.exchange(1) == 0) {
        waiter.leave();
        return;
      }
      waiter.wait(kForever);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20000; ++round) {
        lock();
        ++counter;
        if (round % 64 == 0) std::this_thread::yield();
        word.exchange(0);
        if (lot_has_waiters(&word)) lot_wake(&word, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, 160000);
  EXPECT_FALSE(lot_has_waiters(&word));
}

// Counted tokens; takers give up at random times and are moved about at random: every token is taken in the
// end.
TEST(ParkingLotStress, TokensWithTimeoutsAndMoves) {
  constexpr int kTakers = 8, kTokens = 20000;
  std::atomic<int> tokens{0}, taken{0};
  std::atomic<bool> moving{true};
  int elsewhere = 0;
  auto try_take = [&] {
    int count = tokens.load();
    while (count > 0 && !tokens.compare_exchange_weak(count, count - 1)) {
    }
    return count > 0;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kTakers; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(static_cast<unsigned>(i));
      while (taken.load() < kTokens) {
        LotWaiter waiter(&tokens, WaitKind::semaphore);
        Nanoseconds deadline = deadline_after(static_cast<Nanoseconds>(random() % 200) * 1000);
        for (;;) {
          waiter.enqueue();
          if (try_take()) {
            waiter.leave();
            ++taken;
            break;
          }
          if (waiter.wait(deadline) == WaitResult::timed_out) break;
        }
      }
    });
  }
  std::thread mover([&] {
    while (moving.load()) {
      int moved = 0;
      lot_requeue(&tokens, 0, &elsewhere, 2, nullptr, &moved);
      lot_requeue(&elsewhere, 0, &tokens, INT_MAX, nullptr, &moved);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < kTokens; ++i) {
    tokens.fetch_add(1);
    if (lot_has_waiters(&tokens)) lot_wake(&tokens, 1);
    if (i % 16 == 0) std::this_thread::yield();
  }
  Nanoseconds give_up = deadline_after(kLong);
  while (taken.load() < kTokens && monotonic_now() < give_up) std::this_thread::yield();
  moving.store(false);
  EXPECT_EQ(taken.load(), kTokens);
  mover.join();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(lot_has_waiters(&tokens));
  EXPECT_FALSE(lot_has_waiters(&elsewhere));
}

TEST(ParkingLotFork, TheChildForgetsAllWaiters) {
  int object = 0;
  Queue queue;
  queue.add(&object);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    lot_reset_after_fork();
    _exit(!lot_has_waiters(&object) && lot_wake(&object, INT_MAX) == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(lot_wake(&object, INT_MAX), 1);
}

}  // namespace
}  // namespace coshim
