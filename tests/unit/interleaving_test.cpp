// The protocols on which no wake-up may be lost, step by step as the code takes them, in every order: parking
// (runtime/wait/parker.cpp), the lot (runtime/wait/parking_lot.h), a processor that goes idle, is pushed to
// and is handed on (runtime/sched/scheduler.cpp, worker.cpp, monitor.cpp). Each has a variant with a mistake
// in it, which must be found: else the model proves nothing.
#include <gtest/gtest.h>

#include <array>

#include "interleave.h"
#include "runtime/wait/parker.h"

namespace coshim {
namespace {

// ---- park() and unpark()

// Thread 0 is a coroutine that waits for a flag; 1 and 2 set it and unpark; 3 unparks for no reason (a
// timer); 4 finishes the switch; 5 is a worker that runs what is queued.
template <bool kStoreInsteadOfCompare>
struct Parking {
  static constexpr int kThreads = 6;
  uint8_t state = kRunning, pc = 0, flag = 0, on_stack = 1, switched = 0, queued = 0;
  std::array<uint8_t, 3> waker = {0, 0, 1};

  bool wake(uint8_t& at) {
    if (at == 0) {
      flag = 1;
    } else if (at == 1) {
      uint8_t before = state;
      state = kNotified;
      if (before == kParked) ++queued;
    } else {
      return false;
    }
    ++at;
    return true;
  }
  bool wait() {
    switch (pc) {
      case 0:  // the caller's condition
        pc = flag != 0 ? 5 : 1;
        return true;
      case 1:  // consume_notification
        pc = 2;
        if (state == kNotified) state = kRunning, pc = 0;
        return true;
      case 2:  // the decision
        pc = state == kRunning ? 3 : 4;
        if (state == kRunning) state = kParking;
        return true;
      case 3:  // the switch: from here on somebody else's stack is in use
        on_stack = 0, switched = 1, pc = 6;
        return true;
      case 4:  // back
        state = kRunning, pc = 0;
        return true;
      default:
        return false;
    }
  }
  bool step(int thread) {
    if (thread == 0) return wait();
    if (thread <= 3) return wake(waker[thread - 1]);
    if (thread == 4) {
      if (switched == 0) return false;
      switched = 0;
      if (state == kParking || kStoreInsteadOfCompare) {
        state = kParked;
      } else {
        ++queued;
      }
      return true;
    }
    if (queued == 0) return false;
    --queued, ++on_stack, pc = 4;
    return true;
  }
  const char* broken() const {
    if (on_stack > 1) return "two kernel threads on one stack";
    if (queued > 1) return "queued twice";
    return nullptr;
  }
  bool finished() const { return pc == 5; }
};

TEST(Interleaving, ParkingLosesNoWakeUp) {
  Exploration result = explore(Parking<false>{});
  EXPECT_EQ(result.problem, "");
  EXPECT_GT(result.states, 100U);
  EXPECT_NE(explore(Parking<true>{}).problem, "");
}

// ---- a lock in the lot: two threads lock and unlock twice, a third gives up at any moment

template <bool kTryBeforeQueueing>
struct LockInLot {
  static constexpr int kThreads = 3, kTimed = 2;
  struct Waiter {
    uint8_t pc = 0, queued = 0, signaled = 0, token = 0, turns = 0, woken = 0;
  };
  uint8_t word = 0, length = 0, inside = 0;
  std::array<uint8_t, 3> queue = {9, 9, 9};
  std::array<Waiter, 3> waiters;

  void push(int thread) { queue[length++] = static_cast<uint8_t>(thread); }
  void remove(int thread) {
    int kept = 0;
    for (int i = 0; i < length; ++i) {
      if (queue[i] != thread) queue[kept++] = queue[i];
    }
    length = static_cast<uint8_t>(kept);
    for (int i = kept; i < 3; ++i) queue[i] = 9;
  }
  bool try_lock() {
    if (word != 0) return false;
    word = 1;
    return true;
  }
  bool step(int thread) {
    Waiter& self = waiters[thread];
    switch (self.pc) {
      case 0:
        if (self.turns == 2) return false;
        self.pc = try_lock() ? 5 : kTryBeforeQueueing ? 2 : 1;
        if (self.pc == 5) ++inside;
        return true;
      case 1:  // enqueue, under the bucket's lock
        push(thread), self.queued = 1, self.pc = kTryBeforeQueueing ? 3 : 2;
        return true;
      case 2:  // try again
        if (try_lock()) {
          ++inside, self.pc = 4;
        } else {
          self.pc = kTryBeforeQueueing ? 1 : 3;
        }
        return true;
      case 3:  // wait
        if (self.signaled != 0) {
          self.signaled = 0, self.pc = kTryBeforeQueueing ? 2 : 1;
          return true;
        }
        if (self.token != 0) return self.token = 0, true;
        if (thread != kTimed) return false;
        self.pc = 9;
        return true;
      case 4:  // leave with the lock
        if (self.queued != 0) remove(thread);
        self.queued = self.signaled = 0, self.pc = 5;
        return true;
      case 5:
        --inside, self.pc = 6;
        word = 0;
        return true;
      case 6:  // lot_has_waiters
        self.pc = length != 0 ? 7 : 0;
        if (self.pc == 0) ++self.turns;
        return true;
      case 7:  // lot_wake, under the bucket's lock
        self.woken = 9;
        if (length != 0) {
          self.woken = queue[0];
          waiters[self.woken].queued = 0, waiters[self.woken].signaled = 1;
          remove(self.woken);
        }
        self.pc = 8;
        return true;
      case 8:  // unpark
        if (self.woken != 9) waiters[self.woken].token = 1;
        self.woken = 0, self.pc = 0, ++self.turns;
        return true;
      case 9:  // the time has passed: off the queue, and a wake-up that came meanwhile goes to the next
        if (self.queued != 0) {
          remove(thread), self.queued = 0, self.pc = 0, ++self.turns;
        } else {
          self.signaled = 0, self.pc = 7;
        }
        return true;
      default:
        return false;
    }
  }
  const char* broken() const { return inside > 1 ? "two hold the lock" : nullptr; }
  bool finished() const {
    for (const Waiter& waiter : waiters) {
      if (waiter.turns != 2) return false;
    }
    return true;
  }
};

TEST(Interleaving, TheLotLosesNoWakeUp) {
  Exploration result = explore(LockInLot<false>{});
  EXPECT_EQ(result.problem, "");
  EXPECT_GT(result.states, 1000U);
  EXPECT_NE(explore(LockInLot<true>{}).problem, "");
}

// ---- a processor: 0 and 1 are workers, 2 and 3 push two coroutines each, 4 is the monitor, which hands the
// processor on at any moment

template <bool kSleepWithoutLook>
struct OneProcessor {
  static constexpr int kThreads = 5;
  static constexpr uint8_t kNobody = 9, kBound = 8;
  struct Agent {
    uint8_t pc = 0, sleeps = 0, must_wake = 0, count = 0;
  };
  uint8_t owner = 0, idle = 0, queue = 0, ran = 0, spare = 1, hand_overs = 0;
  std::array<Agent, 5> agents;

  OneProcessor() { agents[1].pc = 5, agents[1].sleeps = 1; }

  bool work(int thread) {
    Agent& self = agents[thread];
    switch (self.pc) {
      case 0:  // pop_owned, under the processor's lock
        if (owner != thread) {
          self.pc = 4;
        } else if (queue != 0) {
          --queue, ++ran;
        } else {
          self.pc = 1;
        }
        return true;
      case 1:  // go_idle, under the lock
        self.pc = 0;
        if (owner != thread || (queue != 0 && !kSleepWithoutLook)) return true;
        idle = 1, self.sleeps = 1, self.pc = 2;
        return true;
      case 2:  // asleep
        if (self.sleeps != 0) return false;
        self.pc = 3;
        return true;
      case 3:  // turn_running, under the lock
        if (owner == thread) idle = 0;
        self.pc = 0;
        return true;
      case 4:  // become_spare, under the spares' lock
        self.sleeps = 1, ++spare, self.pc = 5;
        return true;
      default:  // asleep as a spare
        if (self.sleeps != 0) return false;
        self.pc = 0;
        return true;
    }
  }
  bool push(Agent& self) {
    if (self.pc == 0) {
      if (self.count == 2) return false;
      ++queue, ++self.count, self.pc = 1;  // under the lock
      self.must_wake = idle != 0 ? owner : kNobody;
      idle = 0;
      return true;
    }
    if (self.must_wake < 2) agents[self.must_wake].sleeps = 0;
    self.must_wake = 0, self.pc = 0;
    return true;
  }
  bool monitor(Agent& self) {
    switch (self.pc) {
      case 0:  // take_over, under the lock
        if (idle != 0 || owner == kBound || hand_overs == 2) return false;
        self.count = owner, owner = kBound, ++hand_overs, self.pc = 1;
        return true;
      case 1:  // bind_worker takes a spare, which exists once the former owner or the first one sleeps
        if (spare == 0) return false;
        for (uint8_t i = 0; i < 2; ++i) {
          if (agents[i].pc == 5 && agents[i].sleeps != 0) self.must_wake = i;
        }
        --spare, self.pc = 2;
        return true;
      case 2:  // under the lock
        owner = self.must_wake, self.pc = 3;
        return true;
      default:
        agents[self.must_wake].sleeps = 0;
        self.pc = self.must_wake = self.count = 0;
        return true;
    }
  }
  bool step(int thread) {
    if (thread < 2) return work(thread);
    return thread < 4 ? push(agents[thread]) : monitor(agents[thread]);
  }
  const char* broken() const { return ran > 4 ? "ran twice" : nullptr; }
  bool finished() const { return ran == 4 && queue == 0; }
};

TEST(Interleaving, AProcessorLosesNoWork) {
  Exploration result = explore(OneProcessor<false>{});
  EXPECT_EQ(result.problem, "");
  EXPECT_GT(result.states, 1000U);
  EXPECT_NE(explore(OneProcessor<true>{}).problem, "");
}

}  // namespace
}  // namespace coshim
